// Submits tasks durably, from any number of threads, over one connection.
//
//   auto submitter = wheelpit::Submitter::Create(options).value();
//   wheelpit::NewTask task;
//   task.queue = "mail";
//   task.payload = "to: ann";
//   auto receipt = submitter->SubmitAndWait(task);                       // OK = durable
//   auto done = submitter->WaitTask(receipt->id, absl::Minutes(1));      // done->result
//
// Thread-safe. Concurrent submits share calls: what arrives while calls are in flight travels
// together in the next one, and nobody waits for company. Each task has an idempotency key (made
// here if not given), so a submit is retried until its deadline and still makes one task. Owns one
// thread, which also runs the callbacks; callbacks must not block and may submit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/sdk/options.h"

namespace wheelpit {

// A task as its submitter states it. Zero and empty mean "as the queue's configuration says".
struct NewTask {
  // 1-63 characters, `[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?`. Required.
  std::string queue;
  // At most 1 MiB unless the queue says otherwise.
  std::string payload;
  std::string content_type;
  // At most 32 entries and 4 KiB in all.
  std::map<std::string, std::string> attributes;
  // -8..7, larger first.
  int priority = 0;
  // At most 64 bytes. Not supported by servers yet: they refuse it unless empty.
  std::string fairness_key;
  // At most 128 bytes. Tasks of one queue with one key within its window are one task. Empty = a
  // random one.
  std::string idempotency_key;
  // Not before this long after the submit; at most 30 days.
  absl::Duration delay = absl::ZeroDuration();
  // Not started after this time; InfiniteFuture = no such limit.
  absl::Time expire_at = absl::InfiniteFuture();
  absl::Duration lease_ttl = absl::ZeroDuration();
  absl::Duration attempt_timeout = absl::ZeroDuration();
  uint32_t max_attempts = 0;
  uint32_t max_losses = 0;
  // W3C traceparent.
  std::string trace_context;
  // Counters that grow by one with this task, once, in the same durable record; at most 4.
  struct Count {
    std::string name;
    std::vector<LabelPair> labels;
  };
  std::vector<Count> counts;
};

// What the server knows of a task.
struct TaskInfo {
  enum class State {
    kUnknown,
    kDelayed,
    kReady,
    kLeased,
    kRetryWait,
    kSucceeded,
    kDead,
    kCancelled,
    kExpired
  };
  std::string id;
  std::string queue;
  State state = State::kUnknown;
  uint32_t attempts = 0;
  uint32_t failures = 0;
  uint32_t losses = 0;
  absl::Time submitted_at = absl::InfinitePast();
  std::string last_error;
  // Only when kDead: `not_retryable`, `max_attempts`, `lease_losses` or `corrupt`.
  std::string dead_reason;
  // Only when kSucceeded.
  std::string result;
  std::string result_content_type;

  bool terminal() const { return state >= State::kSucceeded; }
};
// `ready`, `leased`, `succeeded`, …
absl::string_view TaskStateName(TaskInfo::State state);

struct SubmitReceipt {
  std::string id;
  // The task was there already: same key, same content.
  bool deduplicated = false;
  TaskInfo::State state = TaskInfo::State::kUnknown;
};

struct SubmitterOptions {
  ClientOptions client;
  // From Submit on; then kDeadlineExceeded: the outcome is unknown, and a submit with the same key
  // finds out.
  absl::Duration deadline = absl::Seconds(60);
  // Bounds of what is accepted and not settled yet. At a bound Submit blocks (until the task's
  // deadline), or refuses at once with kResourceExhausted if `block_when_full` is false. Submits
  // out of a callback never block: they refuse.
  size_t outstanding_max = 10'000;
  size_t outstanding_bytes_max = size_t{64} << 20;
  bool block_when_full = true;
  size_t batches_in_flight_max = 4;
  // The server takes at most 1000 tasks and 4 MiB of payload a call; a larger single task goes
  // alone.
  size_t batch_tasks_max = 1000;
  size_t batch_bytes_max = 3'500'000;
};

struct SubmitterStats {
  uint64_t submitted = 0;  // accepted by Submit
  uint64_t settled = 0;    // answered, either way
  uint64_t failed = 0;     // answered with an error
  uint64_t batches = 0;    // calls made
  uint64_t retries = 0;    // tasks sent again
};

class Submitter {
 public:
  using Done = std::function<void(absl::StatusOr<SubmitReceipt>)>;

  // Does not wait for the connection. kInvalidArgument: see CheckClientOptions.
  static absl::StatusOr<std::unique_ptr<Submitter>> Create(SubmitterOptions options);
  // Settles what is outstanding with kCancelled (outcome unknown). Flush first to keep it.
  ~Submitter();
  Submitter(const Submitter&) = delete;
  Submitter& operator=(const Submitter&) = delete;

  // `done` runs once: with the receipt when the task is durable, or with
  //   kInvalidArgument (BAD_FIELD, PAYLOAD_TOO_LARGE, OUT_OF_LIMITS), kNotFound (QUEUE),
  //   kAlreadyExists (IDEMPOTENCY_CONFLICT), kFailedPrecondition (QUEUE_CLOSED): not retried;
  //   kResourceExhausted, kUnavailable: retried here until the deadline, then kDeadlineExceeded
  //   with the last error in its text; kResourceExhausted from Submit itself when full.
  void Submit(NewTask task, Done done);
  std::future<absl::StatusOr<SubmitReceipt>> SubmitAsync(NewTask task);
  absl::StatusOr<SubmitReceipt> SubmitAndWait(NewTask task);

  // Waits until everything submitted before the call is settled. kDeadlineExceeded after `timeout`.
  // Not out of a callback.
  absl::Status Flush(absl::Duration timeout);

  // The task when it has ended, with its result, or as it is after `timeout`. kNotFound (TASK):
  // unknown, or its retention is over.
  absl::StatusOr<TaskInfo> WaitTask(absl::string_view id, absl::Duration timeout);
  // The task as it is now, with its result.
  absl::StatusOr<TaskInfo> GetTask(absl::string_view id);

  SubmitterStats stats() const;

 private:
  class Impl;
  explicit Submitter(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace wheelpit
