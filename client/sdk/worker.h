// Works on tasks: leases them over one stream, runs a handler on its own threads, keeps the leases
// alive, reports the outcomes.
//
//   wheelpit::WorkerOptions options;
//   options.queues = {{"mail"}};
//   options.slots = 4;
//   auto worker = wheelpit::Worker::Create(options, [](wheelpit::TaskRun& task) {
//     if (!Send(task.payload())) return wheelpit::RunOutcome::Fail("mail server is away");
//     return wheelpit::RunOutcome::Complete("sent");
//   });
//   …
//   (*worker)->Drain();                       // on SIGTERM: finish what runs, take nothing new
//   (*worker)->Wait(absl::Seconds(25));
//
// A task runs at least once: after a lost lease it runs again elsewhere. id() and token() let a
// handler make its effects once. Outcomes are repeated over reconnects until the server has
// acknowledged them. Thread-safe. Owns `slots` handler threads and one thread for the stream.
#pragma once

#include <cstdint>
#include <functional>
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

// One execution of one task, as its handler sees it. Valid until the handler returns; thread-safe
// within that time.
class TaskRun {
 public:
  const std::string& id() const;
  const std::string& queue() const;
  const std::string& payload() const;
  const std::string& content_type() const;
  const std::map<std::string, std::string>& attributes() const;
  // 1, 2, 3, …
  uint32_t attempt() const;
  // Names this lease; strictly larger with each lease of the task. A fencing token for the
  // handler's own stores.
  uint64_t token() const;

  // True once the work is no longer wanted: the lease was lost, a cancel was asked for, or the
  // worker is being destroyed. A handler that sees it returns soon. Completing is still allowed: it
  // counts if the task was not given to anybody else meanwhile.
  bool cancelled() const;
  bool lease_lost() const;
  // Returns true as soon as cancelled() is, false after `timeout`.
  bool WaitCancelled(absl::Duration timeout) const;
  // Moves the lease's deadline to `ttl` from now (at most 12 h). Not needed for liveness: the
  // worker heartbeats all its leases.
  void Extend(absl::Duration ttl);
  // Shown to people. 0..100, note at most 1 KiB.
  void Progress(uint32_t percent, absl::string_view note);

 private:
  friend class Worker;
  friend struct TaskRunState;
  explicit TaskRun(std::shared_ptr<struct TaskRunState> state);
  std::shared_ptr<struct TaskRunState> state_;
};

// What became of one execution.
struct RunOutcome {
  enum class Kind { kComplete, kFail, kFailForGood, kRelease };
  Kind kind = Kind::kComplete;
  std::string result;                                 // kComplete
  std::string result_content_type;                    // kComplete
  std::string error;                                  // kFail, kFailForGood; the server keeps 4 KiB
  absl::Duration retry_after = absl::ZeroDuration();  // kFail; zero = by the queue's backoff

  // A result over the queue's limit is refused (PAYLOAD_TOO_LARGE); the worker then fails the task
  // for good.
  static RunOutcome Complete(std::string result = "", std::string content_type = "");
  static RunOutcome Fail(std::string error, absl::Duration retry_after = absl::ZeroDuration());
  // No retry: the task is dead with reason `not_retryable`.
  static RunOutcome FailForGood(std::string error);
  // Gives the task back untouched; charges no attempt budget.
  static RunOutcome Release();
};

// One execution, when it is over and its outcome is known to the server, or known to be lost.
struct FinishedRun {
  std::string task_id;
  std::string queue;
  uint32_t attempt = 0;
  uint64_t token = 0;
  // As last sent: kFailForGood after a result that was too large.
  RunOutcome::Kind kind = RunOutcome::Kind::kComplete;
  // OK: the server has accepted it, durably. kFailedPrecondition (LEASE_LOST, ALREADY_TERMINAL):
  // the lease was not current any more. kCancelled: the worker ended before an answer came.
  absl::Status status;
  absl::Duration run_time;
};

struct WorkerOptions {
  ClientOptions client;
  // Shown to people, at most 128 bytes. Empty = host name, process id and a random part.
  std::string worker_id;
  struct Queue {
    std::string name;
    // 1..1000: the share of this queue when several have work.
    uint32_t weight = 1;
  };
  std::vector<Queue> queues;
  // Tasks at once, and handler threads.
  uint32_t slots = 1;
  // Sum of the payloads that may wait or run here.
  uint64_t payload_bytes_max = uint64_t{32} << 20;
  // Called once for each execution, on the stream's thread; must not block. May be empty.
  std::function<void(const FinishedRun&)> on_finished;
};

struct WorkerStats {
  uint64_t started = 0;
  uint64_t completed = 0;  // acknowledged
  uint64_t failed = 0;     // acknowledged
  uint64_t released = 0;
  uint64_t lost = 0;  // leases
  uint64_t reconnects = 0;
  uint32_t running = 0;
  bool connected = false;
};

class Worker {
 public:
  using Handler = std::function<RunOutcome(TaskRun&)>;

  // Connects and works from here on. kInvalidArgument: no queue, no slots, or see
  // CheckClientOptions.
  static absl::StatusOr<std::unique_ptr<Worker>> Create(WorkerOptions options, Handler handler);
  // As Drain with no patience: cancels what runs, waits for the handlers to return, releases what
  // they did not finish.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Takes no new tasks and gives back those not started. Returns at once.
  void Drain();
  // As Drain, and cancels what runs: their outcomes, or their releases, still go out.
  void Cancel();
  // Waits until the worker is drained and every outcome acknowledged: OK; or until the server has
  // refused the worker for good (the error); or kDeadlineExceeded after `timeout`.
  absl::Status Wait(absl::Duration timeout);

  WorkerStats stats() const;

 private:
  class Impl;
  explicit Worker(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace wheelpit
