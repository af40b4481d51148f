// The one WorkQueue. Its parts, each in its file: submit.cc (submitting, idempotency), lease_operations.cc (complete, fail, extend,
// release), dispatcher.cc (who gets what), worker_sessions.cc (streams), timers.cc (what is due), manage.cc (cancel, queues),
// views.cc (what callers see), replay.cc (recovery and checkpoints), work_queue.cc (appending, and what happens when durable).
//
// The state proper is QueueFold's. A record is applied to it when it is appended; what waits for durability (replies, first
// visibility, counts) is an Effect, in lsn order. A task whose newest record is not durable yet is pending: it is in no ready list
// and no timer, and readers see it as it was before.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "server/queue/queue_fold.h"
#include "server/queue/timer_wheel.h"
#include "server/queue/work_queue.h"

namespace wheelpit {

class ByteReader;

// SUBMIT records of tasks not handed out yet: meta, then payload.
struct CachedSubmit {
  std::string bytes;
  uint32_t meta_bytes = 0;
};

// Somebody who takes tasks: a stream with credit, or one waiting LeaseTasks call.
struct Consumer {
  struct Subscription {
    uint32_t queue = 0;
    int64_t weight = 1;
    int64_t current = 0;   // smooth weighted round robin
    bool waiting = false;  // stands in the queue's waiting list
  };
  uint32_t session = kNoIndex;  // stream
  uint32_t slots = 0;           // stream: credit; call: tasks still wanted
  uint64_t bytes = 0;
  bool draining = false;
  std::vector<Subscription> queues;
  // One LeaseTasks call.
  std::string worker;
  int64_t wait_end_ms = 0;
  WorkQueue::LeaseDone done;
  // Of the round under way.
  std::vector<uint32_t> taken;
  uint64_t taken_bytes = 0;
};

class WorkQueueImpl : public WorkQueue {
 public:
  WorkQueueImpl(const WorkQueueOptions& options, Journal* journal, DurableQueue* durable, QueueObserver* observer, Rng* rng);

  void SetEpoch(uint64_t epoch, const SipKey& hash_key) override;

  void Submit(TaskSpec spec, int64_t now, SubmitDone done) override;
  void SubmitBatch(std::vector<TaskSpec> specs, bool atomic, int64_t now, SubmitBatchDone done) override;

  absl::StatusOr<SessionWelcome> OpenSession(const SessionHello& hello, WorkerChannel* channel, int64_t now) override;
  void SetCredit(SessionId session, uint32_t slots, uint64_t bytes, int64_t now) override;
  void Heartbeat(SessionId session, int64_t now) override;
  void DrainSession(SessionId session, int64_t now) override;
  void StreamClosed(SessionId session, WorkerChannel* channel, int64_t now) override;
  void LeaseTasks(std::string worker, std::vector<QueueWeight> queues, uint32_t tasks_max, int64_t wait_ms, int64_t now,
                  LeaseDone done) override;
  void Complete(std::vector<Completion> items, SessionId session, int64_t now, LeaseOutcomesDone done) override;
  void Fail(std::vector<Failure> items, SessionId session, int64_t now, LeaseOutcomesDone done) override;
  void Extend(std::vector<Extension> items, SessionId session, int64_t now, LeaseOutcomesDone done) override;
  void Release(std::vector<LeaseRef> items, SessionId session, int64_t now, LeaseOutcomesDone done) override;
  absl::Status Progress(const LeaseRef& lease, uint32_t percent, std::string note, int64_t now) override;

  absl::StatusOr<TaskView> GetTask(TaskId id, ViewOptions view, int64_t now) override;
  void WaitTask(TaskId id, int64_t timeout_ms, ViewOptions view, int64_t now, TaskDone done) override;
  absl::StatusOr<std::vector<TaskView>> ListTasks(const TaskListQuery& query, int64_t now) override;
  void Cancel(TaskId id, bool force, int64_t now, TaskDone done) override;
  void PutQueue(std::string name, std::optional<QueueConfig> config, std::optional<QueueFlags> flags, int64_t now,
                StatusDone done) override;

  void Advance(int64_t now, int tasks_max) override;
  int64_t NextDeadline() const override;
  void StartDraining() override { draining_ = true; }

  ShardStats ComputeStats(int64_t now) const override;
  std::shared_ptr<const ShardStats> stats() const override;
  void PublishStats(int64_t now) override;
  void SetStatsCompleter(std::function<void(ShardStats*)> complete) override { complete_stats_ = std::move(complete); }
  std::string DebugDump() const override;

  FoldId id() const override { return FoldId::kQueue; }
  absl::Status LoadChunk(Lsn as_of, absl::string_view bytes) override;
  absl::Status Replay(Lsn lsn, RecordPosition position, const RecordView& record) override;
  absl::Status RecoveryDone(int64_t now_ms) override;
  void BeginCheckpoint() override;
  bool NextChunk(std::string* bytes, Lsn* as_of) override;

 private:
  using Reply = absl::AnyInvocable<void(const absl::Status&)>;

  // What one record does when it is durable.
  struct Effect {
    Lsn lsn = 0;
    uint32_t index = kNoIndex;     // a task that settles
    bool counts_state = false;     // visible counts move from -> to now
    TaskState from = TaskState::kUnspecified;
    TaskState to = TaskState::kUnspecified;
    uint64_t bytes = 0;
    uint32_t created_queue = 0;
    FoldEvents events;
    std::vector<CountedSeries> counted;
    int64_t at_ms = 0;
    Reply reply;
    bool hurried = true;  // false for a write-behind record: it goes with the next commit that somebody waits for
  };
  struct PendingTask {
    Lsn last = 0;
    TaskSlot visible;  // state kUnspecified: not visible at all
    std::vector<std::pair<Lsn, TaskSlot>> steps;  // what is visible from these records' durability on, before `last`
  };
  // Of a lease given by this process; gone with it.
  struct LeaseNote {
    std::string description;
    bool description_in_journal = false;  // it is long, and read again when it is needed
    bool has_progress = false;
    uint32_t percent = 0;
    std::string note;
  };
  struct TaskWaiter {
    uint64_t number = 0;
    int64_t end_ms = 0;
    ViewOptions view;
    TaskDone done;
  };
  // A task's end, or the next attempt: what Transition journals.
  struct Change {
    RecordType type{};
    TaskRecord record;
    absl::string_view payload;
    bool wait = true;  // W: pending until durable
  };

  // --- work_queue.cc ---
  int64_t Tick(int64_t now) { return now_ms_ = now > now_ms_ ? now : now_ms_; }
  absl::Status Usable() const;
  absl::Status UsableForNew() const;
  // What a record is for: the journal takes ends of tasks longest when the disk fills.
  enum class Purpose { kNewWork, kOngoing, kEnd };
  absl::StatusOr<Lsn> AppendRecords(absl::Span<const RecordView> records, Purpose purpose, RecordPosition* positions);
  void PushEffect(Effect effect);
  void RunEffects(Lsn lsn, const absl::Status& status);
  void RunEffect(Effect& effect, const absl::Status& status);
  // Runs `reply` when everything appended so far is durable; at once if it is.
  void WhenDurable(Reply reply);
  void CountState(uint32_t queue, TaskState from, TaskState to, uint64_t bytes);
  void Emit(Lsn lsn, const FoldEvents& events, int64_t at_ms, const std::vector<CountedSeries>& counted);
  void MarkPending(uint32_t index, Lsn lsn, bool visible);
  bool IsPending(uint32_t index) const { return fold_.tasks[index].has(kPending); }
  // Out of and into ready list, timers and expiry, by its state.
  void Detach(uint32_t index);
  void Settle(uint32_t index);
  void SettleTerminal(uint32_t index);
  QueueProbe& ProbeOf(QueueEntry& entry) { return entry.probe != nullptr ? *entry.probe : MakeProbe(entry); }
  QueueProbe& MakeProbe(QueueEntry& entry);
  // How the attempt ended by which `record` took the task out of LEASED.
  static void NoteRun(QueueProbe& probe, RecordType type, const TaskRecord& record, int64_t ms);
  // Fills what every record of a task carries: queue, token, budgets.
  TaskRecord RecordOf(uint32_t index, int64_t now) const;
  void SetEnd(uint32_t index, TaskState state, TaskRecord* record) const;
  absl::Status Transition(uint32_t index, Change change);
  void DropCached(uint32_t index);

  // What the submitter told of the task, for its last record.
  std::string DescriptionOf(uint32_t index);

  // --- submit.cc ---
  struct Prepared {
    SubmitRecord record;
    std::string meta;
    Hash128 key{};
    absl::Status status;
    bool existing = false;
    bool existing_pending = false;
    SubmitOutcome outcome;
  };
  absl::Status CheckSpec(const TaskSpec& spec, int64_t now) const;
  void Prepare(TaskSpec spec, int64_t now, Prepared* prepared);
  absl::Status Resolve(const QueueConfig& config, int64_t now, TaskSpec* spec) const;
  uint64_t RequestHash(const TaskSpec& spec) const;
  // When the task of a remembered key ended, or later.
  int64_t EndedAt(const DedupeEntry& entry) const;
  // Finds the task of the same key: sets existing, or an error.
  void FindExisting(QueueEntry& entry, Prepared* prepared);
  absl::Status CheckRoom(const QueueEntry& entry, const TaskSpec& spec, const Prepared& prepared);
  absl::Status CheckBatch(const std::vector<TaskSpec>& specs) const;
  // `*wait` is set when the outcome must not be told before everything appended is durable.
  absl::StatusOr<SubmitOutcome> SubmitOne(TaskSpec spec, int64_t now, bool* wait);
  absl::Status SubmitAtomic(std::vector<TaskSpec> specs, int64_t now, std::vector<absl::StatusOr<SubmitOutcome>>* results,
                            bool* wait);
  // The probe of the queue that it is for, as far as that is known.
  void NoteRejected(const Prepared& prepared, uint64_t n);
  SubmitOutcome ApplyPrepared(Prepared& prepared, uint64_t id, Lsn lsn, RecordPosition position);
  absl::Status CheckFits(const QueueConfig& config) const;
  // Finds or makes (auto_create).
  absl::StatusOr<QueueEntry*> QueueForUse(const std::string& name, Purpose purpose, int64_t now);
  absl::StatusOr<QueueEntry*> WriteQueue(QueueRecord record, Purpose purpose, Reply reply);
  uint64_t MakeId(uint64_t counter) const { return uint64_t{options_.shard} << 58 | counter; }

  // --- lease_operations.cc ---
  LeaseOutcome Noted(LeaseOp op, TaskId task, LeaseOutcome outcome);
  absl::StatusOr<uint32_t> FindTask(TaskId id) const;
  absl::StatusOr<uint32_t> FindLease(TaskId id, LeaseToken token) const;
  LeaseOutcome CompleteOne(const Completion& item, int64_t now);
  LeaseOutcome FailOne(const Failure& item, int64_t now);
  LeaseOutcome ExtendOne(const Extension& item, int64_t now);
  LeaseOutcome ReleaseOne(const LeaseRef& item, int64_t now, bool* wait);
  int64_t ExtendTo(TaskSlot& slot, int64_t ttl_ms, int64_t now, bool* final);
  int64_t BackoffDelay(const TaskPolicy& policy, uint64_t k);
  // T9, T10, or what stands in their place for a cancelled or expired task.
  absl::Status LoseLease(uint32_t index, absl::string_view cause, int64_t now);
  void Touch(SessionId session, int64_t now);
  void Answer(std::vector<LeaseOutcome> outcomes, bool wait, LeaseOutcomesDone done);

  // --- dispatcher.cc ---
  uint32_t AddConsumer(std::unique_ptr<Consumer> consumer);
  void DropConsumer(uint32_t index);
  // It may take tasks (again): stands in the waiting list of each of its queues.
  void WakeConsumer(uint32_t index);
  void WakeSession(uint32_t session);
  void QueueHasWork(QueueEntry& entry);
  void Dispatch(int64_t now);
  void DispatchQueue(QueueEntry& entry, int64_t now, int* budget);
  bool MayTake(const Consumer& consumer, const TaskSlot& slot) const;
  Consumer::Subscription* Choose(Consumer& consumer);
  bool TakeOne(uint32_t consumer, QueueEntry& entry, int64_t now);
  absl::StatusOr<CachedSubmit> LoadSubmit(uint32_t index);
  void FinishRound(int64_t now);
  absl::Status LeaseTaken(uint32_t consumer, int64_t now);
  void ApplyLeases(uint32_t consumer, const LeaseRecord& record, Lsn lsn, int64_t now);
  void NoteDescription(uint32_t index, const SubmitRecord& submit);
  void SendAssignments(uint32_t consumer, const LeaseRecord& record, std::vector<CachedSubmit> submits, bool sync);
  absl::Status Subscribe(const std::vector<QueueWeight>& queues, int64_t now, Consumer* consumer);
  void EndWaits(int64_t now);

  // --- worker_sessions.cc ---
  // Keeps the leases of `held` that are current for the session, extended; the rest goes to `lost`.
  void AdoptHeld(uint32_t session, const std::vector<LeaseRef>& held, int64_t now, std::vector<LeaseRef>* lost);
  void LeasesLost(uint32_t session, std::vector<LeaseRef> leases, absl::string_view cause);
  void EndGrace(uint32_t session, int64_t now);

  // --- timers.cc ---
  void FireTimer(uint32_t index, int64_t now);
  absl::Status FireExpiry(uint32_t index, int64_t now);
  void Purge(std::vector<uint64_t> ids, uint32_t queue, absl::string_view cause, int64_t now);
  void EnforceBounds(int64_t now);
  void EndTaskWaits(int64_t now);

  // --- views.cc ---
  const TaskSlot* Visible(uint32_t index) const;
  TaskView ViewOf(const TaskSlot& slot) const;
  void FillFromSubmit(const SubmitRecord& record, TaskView* view) const;
  // True if the record told what the submitter had said, too.
  bool FillFromRecord(const TaskSlot& slot, ViewOptions options, TaskView* view) const;
  void FillProgress(const TaskSlot& slot, TaskView* view) const;
  void NotifyWaiters(uint32_t index);
  QueueStats StatsOf(const QueueEntry& entry, int64_t now) const;

  // --- replay.cc ---
  absl::Status LoadHeader(Lsn as_of, ByteReader& in);
  absl::Status LoadSlab(Lsn as_of, ByteReader& in);
  absl::Status LoadKeys(ByteReader& in);
  std::string HeaderChunk() const;
  std::string SlabChunk(uint32_t slab) const;
  std::string KeysChunk(uint32_t first) const;
  void PlaceRecovered();
  absl::Status ReplayQueue(Lsn lsn, const RecordView& record);
  absl::Status ReplayPurge(Lsn lsn, const RecordView& record);
  absl::Status ReplaySubmit(Lsn lsn, RecordPosition position, const RecordView& record);
  absl::Status ReplayLease(Lsn lsn, const RecordView& record);
  absl::Status ReplayTask(Lsn lsn, RecordPosition position, const RecordView& record);
  bool Covered(uint32_t index, Lsn lsn) const;
  void EmitReplayed(Lsn lsn, const FoldEvents& events, int64_t at_ms, const std::vector<CountedSeries>& counted);

  const WorkQueueOptions options_;
  Journal* const journal_;
  DurableQueue* const durable_;
  QueueObserver* const observer_;
  Rng* const rng_;

  QueueFold fold_;
  mutable RecordCodec codec_;
  TimerWheel wheel_{&fold_.tasks};
  absl::btree_set<std::pair<int64_t, uint32_t>> expiries_;  // (expire_ms, index) of settled, live, unleased tasks
  absl::flat_hash_map<uint32_t, PendingTask> pending_;
  std::deque<Effect> effects_;
  absl::flat_hash_map<uint32_t, LeaseNote> lease_notes_;  // by task index; none where there is nothing to note
  absl::flat_hash_map<uint32_t, CachedSubmit> cache_;
  uint64_t cache_bytes_ = 0;
  std::vector<std::unique_ptr<QueueProbe>> probes_;
  QueueProbe* other_probe_ = nullptr;    // of queues without one of their own
  std::deque<uint64_t> terminal_order_;  // ids, oldest first; may name tasks that are gone
  uint64_t terminal_tasks_ = 0;
  int64_t evicted_ended_ms_ = 0;         // keys of tasks that ended up to here made room for others
  absl::btree_map<uint32_t, std::vector<uint64_t>> purges_;   // by queue: retention is over, in this Advance
  absl::flat_hash_set<uint32_t> dead_queues_;                    // got a dead task since bounds were last enforced
  uint64_t lowest_counter_ = 1;                                  // no task has a lower one

  std::vector<std::unique_ptr<Consumer>> consumers_;
  std::vector<uint32_t> generations_;
  std::vector<uint32_t> free_consumers_;
  std::vector<uint32_t> round_;           // consumers that took something in this round
  std::vector<uint32_t> active_queues_;   // queues that may have both tasks and consumers
  std::vector<WorkerChannel*> superseded_;  // to be told in the next Advance
  bool dispatch_wanted_ = false;
  int64_t dispatch_retry_ms_ = 0;         // the journal refused LEASE records until then
  int64_t bounds_retry_ms_ = 0;           // and PURGE records
  absl::btree_set<std::pair<int64_t, uint32_t>> wait_ends_;   // of LeaseTasks calls
  absl::btree_set<std::pair<int64_t, uint32_t>> grace_ends_;  // of sessions
  absl::flat_hash_map<uint64_t, std::vector<TaskWaiter>> task_waiters_;
  absl::btree_set<std::pair<int64_t, std::pair<uint64_t, uint64_t>>> task_wait_ends_;
  uint64_t next_waiter_ = 1;

  bool recovered_ = false;
  bool epoch_set_ = false;
  bool draining_ = false;
  absl::Status failure_;
  uint64_t epoch_ = 0;
  uint64_t next_token_ = 1;
  uint64_t next_session_ = 1;
  int64_t now_ms_ = 0;

  // Recovery and checkpoints.
  std::vector<Lsn> slab_as_of_;
  Lsn header_as_of_ = 0;
  bool free_list_ready_ = false;
  uint32_t checkpoint_step_ = 0;
  uint32_t checkpoint_slabs_ = 0;
  bool checkpoint_running_ = false;

  std::function<void(ShardStats*)> complete_stats_;  // engine thread
  mutable Mutex stats_mu_;
  std::shared_ptr<const ShardStats> stats_ ABSL_GUARDED_BY(stats_mu_);
};

}  // namespace wheelpit
