// The durable work queue: tasks wait, are leased to one worker at a time, and end completed, dead, cancelled or expired.
//
// All calls on the shard's engine thread (rpc/ and http/ post to its Executor); stats() alone from any thread. No call blocks: `done`
// runs once, later, on the engine thread, when the result is durable (or at once if nothing had to be written).
// Time is an argument: the queue never reads a clock. A `now` earlier than one already seen counts as the later one.
//
//   queue.Submit(spec, now, [](absl::StatusOr<SubmitOutcome> r) { … });      // done after the group commit
//   queue.OpenSession(hello, &channel, now);                                 // channel gets Assign as tasks become READY
//   queue.Complete({{id, token, result}}, now, [](std::vector<LeaseOutcome> r) { … });
//
// States and transitions: docs/life_of_a_task.md. Errors carry a reason (base/errors.h): BAD_FIELD, PAYLOAD_TOO_LARGE, OUT_OF_LIMITS,
// QUEUE, TASK, IDEMPOTENCY_CONFLICT, LEASE_LOST, ALREADY_TERMINAL, QUEUE_CLOSED, QUEUE_FULL, SHARD_FULL, TOO_MANY_QUEUES, DEDUPE_FULL,
// DISK_LOW, STARTING, DRAINING, JOURNAL, CORRUPT.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/siphash.h"
#include "server/journal/durable_queue.h"
#include "server/journal/fold.h"
#include "server/journal/journal.h"
#include "server/model/queue_stats.h"
#include "server/model/task.h"
#include "server/queue/queue_observer.h"

namespace wheelpit {

struct WorkQueueOptions {
  bool auto_create = true;
  uint32_t shard = 0;                     // 0..63
  uint64_t tasks_max = 10'000'000;        // live, per shard
  uint64_t terminal_tasks_max = 1'000'000;
  uint64_t queues_max = 1000;
  uint64_t dedupe_entries_max = 10'000'000;
  int64_t dedupe_min_window_ms = 600'000;
  int64_t session_grace_ms = 15'000;      // 0..300,000
  int64_t recovered_lease_ms = 30'000;    // a recovered lease ends at now + min(its TTL, this)
  uint64_t payload_cache_bytes = 256ULL << 20;
  uint64_t metric_queues_max = 1000;      // queues with own metrics of their own; the rest shares those of "_other"
  QueueConfig queue_defaults;
};

struct SubmitOutcome {
  TaskId id;
  bool deduplicated = false;
  TaskState state = TaskState::kUnspecified;
  // Of a new task: whoever knows when the submit arrived observes how long it took. Any thread.
  Histogram* submit_seconds = nullptr;
};

struct Completion {
  TaskId task;
  LeaseToken token;
  std::string result;
  std::string result_content_type;
};

struct Failure {
  TaskId task;
  LeaseToken token;
  std::string error;
  bool retryable = true;
  int64_t retry_after_ms = 0;
};

struct Extension {
  TaskId task;
  LeaseToken token;
  int64_t ttl_ms = 0;  // 0 = the task's
};

// Of one operation on one lease. IDEMPOTENT repeats (same token, after it succeeded) are OK with the recorded state.
struct LeaseOutcome {
  absl::Status status;
  TaskState state = TaskState::kUnspecified;
  int64_t deadline_ms = 0;  // Extend
  bool final = false;       // Extend: the attempt timeout allows no later deadline
};

using SessionId = uint64_t;  // 0 = none

struct QueueWeight {
  std::string queue;
  uint32_t weight = 1;
};

struct SessionHello {
  std::string worker_id;
  SessionId session = 0;  // a session to resume; unknown or 0 = a new one
  std::vector<LeaseRef> held;
  std::vector<QueueWeight> queues;
  uint32_t slots = 0;
  uint64_t bytes = 0;  // 0 = 32 MiB
};

struct SessionWelcome {
  SessionId session = 0;
  std::vector<LeaseRef> lost;
};

// The sending side of one worker stream. Called on the engine thread, never within OpenSession; must not block or call back.
class WorkerChannel {
 public:
  virtual ~WorkerChannel() = default;
  virtual void Assign(std::vector<Assignment> assignments) = 0;
  virtual void LeaseLost(std::vector<LeaseRef> leases, absl::string_view cause) = 0;
  virtual void CancelNotice(std::vector<LeaseRef> leases) = 0;
  // The session was taken over by another stream of the same session id, or ended by CloseSession: no call comes after this.
  virtual void Superseded() = 0;
};

struct TaskListQuery {
  std::string queue;
  std::vector<TaskState> states;  // empty = all
  TaskId after;                   // exclusive
  uint32_t tasks_max = 100;       // 1..1000
};

class WorkQueue : public Fold {
 public:
  using SubmitDone = absl::AnyInvocable<void(absl::StatusOr<SubmitOutcome>)>;
  using SubmitBatchDone = absl::AnyInvocable<void(absl::StatusOr<std::vector<absl::StatusOr<SubmitOutcome>>>)>;
  using LeaseOutcomesDone = absl::AnyInvocable<void(std::vector<LeaseOutcome>)>;
  using LeaseDone = absl::AnyInvocable<void(absl::StatusOr<std::vector<Assignment>>)>;
  using TaskDone = absl::AnyInvocable<void(absl::StatusOr<TaskView>)>;
  using StatusDone = absl::AnyInvocable<void(absl::Status)>;

  // Everything passed must outlive the queue. `observer` may be null. Starts as STARTING until RecoveryDone.
  static std::unique_ptr<WorkQueue> Create(const WorkQueueOptions& options, Journal* journal, DurableQueue* durable,
                                           QueueObserver* observer, Rng* rng);

  // --- starting ---
  // Once per process, when the EPOCH record of this boot or leadership is durable (so that no token of it can be issued twice);
  // before or after RecoveryDone. Until both have happened everything is refused STARTING. `epoch` is above every one replayed.
  // `hash_key` (16 bytes) keys the hashes of idempotency keys: constant over one history; the queue reads it from replayed EPOCH
  // records too.
  virtual void SetEpoch(uint64_t epoch, const SipKey& hash_key) = 0;

  // --- submitting ---
  virtual void Submit(TaskSpec spec, int64_t now, SubmitDone done) = 0;
  // 1..1000 tasks. `atomic`: all or none, in one frame. The outer status is of the call (EMPTY, BATCH_TOO_LARGE, or the first error if atomic).
  virtual void SubmitBatch(std::vector<TaskSpec> specs, bool atomic, int64_t now, SubmitBatchDone done) = 0;

  // --- working ---
  // Nothing is assigned before the caller has returned; `channel` must live until CloseSession, StreamClosed or Superseded.
  // kInvalidArgument BAD_FIELD; kNotFound QUEUE (auto_create makes it instead); kUnavailable.
  virtual absl::StatusOr<SessionWelcome> OpenSession(const SessionHello& hello, WorkerChannel* channel, int64_t now) = 0;
  // Absolute. Slots: unfinished assignments at most; bytes: sum of their payloads (0 = 32 MiB), one may always go.
  virtual void SetCredit(SessionId session, uint32_t slots, uint64_t bytes, int64_t now) = 0;
  // Any sign of life: extends every lease of the session to its full TTL.
  virtual void Heartbeat(SessionId session, int64_t now) = 0;
  // No more assignments to it.
  virtual void DrainSession(SessionId session, int64_t now) = 0;
  // The stream broke: its leases are lost after session_grace, unless OpenSession resumes it. `channel` guards against a stream that
  // was superseded meanwhile.
  virtual void StreamClosed(SessionId session, WorkerChannel* channel, int64_t now) = 0;

  // Unary workers. Leases up to `tasks_max` (1..256) tasks; waits up to `wait_ms` (0..60,000) for the first. May give none.
  virtual void LeaseTasks(std::string worker, std::vector<QueueWeight> queues, uint32_t tasks_max, int64_t wait_ms, int64_t now,
                          LeaseDone done) = 0;

  // Outcomes in request order, in one call, after the group commit. `session` = 0 for unary callers.
  virtual void Complete(std::vector<Completion> items, SessionId session, int64_t now, LeaseOutcomesDone done) = 0;
  virtual void Fail(std::vector<Failure> items, SessionId session, int64_t now, LeaseOutcomesDone done) = 0;
  virtual void Extend(std::vector<Extension> items, SessionId session, int64_t now, LeaseOutcomesDone done) = 0;
  virtual void Release(std::vector<LeaseRef> items, SessionId session, int64_t now, LeaseOutcomesDone done) = 0;

  // What a worker tells of its attempt: 0..100, and a note of at most 1 KiB. In memory only, until the lease ends. BAD_FIELD, LEASE_LOST,
  // TASK.
  virtual absl::Status Progress(const LeaseRef& lease, uint32_t percent, std::string note, int64_t now) = 0;

  // --- reading and managing ---
  struct ViewOptions {
    bool payload = false;
    bool result = false;
  };
  virtual absl::StatusOr<TaskView> GetTask(TaskId id, ViewOptions view, int64_t now) = 0;
  // When terminal, or as it is after `timeout_ms` (0..600,000).
  virtual void WaitTask(TaskId id, int64_t timeout_ms, ViewOptions view, int64_t now, TaskDone done) = 0;
  virtual absl::StatusOr<std::vector<TaskView>> ListTasks(const TaskListQuery& query, int64_t now) = 0;
  virtual void Cancel(TaskId id, bool force, int64_t now, TaskDone done) = 0;
  // Makes or changes a queue; nullopt keeps.
  virtual void PutQueue(std::string name, std::optional<QueueConfig> config, std::optional<QueueFlags> flags, int64_t now,
                        StatusDone done) = 0;

  // --- time ---
  // Hands out READY tasks to whoever waits for them, in one round, and fires what is due (lost leases, delays, retries, expiry,
  // retention, ended waits), at most `tasks_max`, oldest first. Call it after each batch of calls and durable effects in which
  // NextDeadline() <= now: so leases of one round share a journal append, and assignments a message.
  virtual void Advance(int64_t now, int tasks_max) = 0;
  // Call Advance at or after this; INT64_MAX when nothing waits on time, the past when there is something to hand out.
  virtual int64_t NextDeadline() const = 0;

  // Refuses submits and assignments from here on (DRAINING); completions go on.
  virtual void StartDraining() = 0;

  // --- for readers ---
  // Engine thread: computes now. Counts equal a recount.
  virtual ShardStats ComputeStats(int64_t now) const = 0;
  // Any thread: the last stats that PublishStats made.
  virtual std::shared_ptr<const ShardStats> stats() const = 0;
  // Engine thread: makes ComputeStats(now) what stats() returns.
  virtual void PublishStats(int64_t now) = 0;
  // `complete` adds to the stats what other rooms know of the queues, before readers see them. Set before the first PublishStats.
  virtual void SetStatsCompleter(std::function<void(ShardStats*)> complete) = 0;
  // The whole state as text, one object a line, without what is derived or not journaled: equal for equal histories.
  virtual std::string DebugDump() const = 0;
};

}  // namespace wheelpit
