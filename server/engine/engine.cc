#include "server/engine/engine.h"

#include <algorithm>
#include <atomic>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/random.h"
#include "base/siphash.h"
#include "base/status_macros.h"
#include "base/sync.h"
#include "server/engine/checkpointer.h"
#include "server/engine/meta_fold.h"
#include "server/engine/probe.h"
#include "server/engine/record_codec.h"
#include "server/scaling/queue_scalers.h"

namespace wheelpit {
namespace {

constexpr int kTimersPerRound = 1024;
constexpr int64_t kHousekeepingMs = 1000;
// Less than this is replayed faster than a checkpoint is read.
constexpr uint64_t kCheckpointBytesMin = 1 << 20;

class EngineImpl final : public Engine {
 public:
  EngineImpl(const EngineOptions& options, const Clock* clock, Journal* journal, Executor* background, uint64_t seed)
      : options_(options),
        clock_(clock),
        journal_(journal),
        rng_(seed),
        store_(options.series),
        counter_(CounterFold::Create(&store_)),
        queue_(WorkQueue::Create(options.queue, journal, &durable_, counter_.get(), &rng_)),
        ingest_(ReportIngest::Create(options.ingest, journal, &durable_, &store_, counter_.get())),
        meta_(journal),
        scalers_(journal),
        checkpointer_(journal, &durable_, background, this, {&meta_, queue_.get(), counter_.get(), &scalers_}) {
    queue_->SetStatsCompleter([this](ShardStats* stats) { scalers_.Update(stats); });
    // Rounds append; one wake-up at the end of a round is enough for all of them.
    journal_->SetWorkAvailable([this] { appended_.store(true, std::memory_order_relaxed); });
    journal_->SetDurableObserver([this] { Wake(); });
  }

  ~EngineImpl() override {
    journal_->SetWorkAvailable([] {});
    journal_->SetDurableObserver([] {});
  }

  void Post(absl::AnyInvocable<void()> fn) override {
    bool signal = false;
    {
      MutexLock lock(&mu_);
      // A closure may own what posts again when it dies, so a refused one is destroyed without the lock.
      if (!shut_) {
        inbox_.push_back(std::move(fn));
        waiting_.store(inbox_.size() + batch_left_, std::memory_order_relaxed);
        signal = std::exchange(resting_, false);
      }
    }
    if (signal && waker_) waker_();
  }

  bool Overloaded() const override { return waiting_.load(std::memory_order_relaxed) >= options_.commands_max; }

  void SetCommitWaker(std::function<void()> waker) override { commit_waker_ = std::move(waker); }
  void SetWaker(std::function<void()> waker) override { waker_ = std::move(waker); }
  void SetStateObserver(std::function<void()> observer) override { state_observer_ = std::move(observer); }

  absl::Status Recover(std::function<void(double)> progress) override;
  bool RunOnce() override;
  bool Rest(int64_t* until_ms) override;
  bool HasCommands() const override { return waiting_.load(std::memory_order_relaxed) > 0; }

  void Wake() override {
    bool signal = false;
    {
      MutexLock lock(&mu_);
      woken_ = true;
      signal = std::exchange(resting_, false);
    }
    if (signal && waker_) waker_();
  }

  WorkQueue& queue() override { return *queue_; }
  ReportIngest& ingest() override { return *ingest_; }
  SeriesStore& store() override { return store_; }

  bool ready() const override { return ready_.load(std::memory_order_acquire); }
  absl::Status failure() const override {
    MutexLock lock(&mu_);
    return failure_;
  }
  uint64_t epoch() const override { return epoch_.load(std::memory_order_relaxed); }
  uint64_t history_id() const override { return history_id_.load(std::memory_order_relaxed); }
  RecoveryResult recovery() const override { return recovery_; }

  void Checkpoint(absl::AnyInvocable<void(absl::Status)> done) override {
    if (!ready()) return done(MakeError(absl::StatusCode::kUnavailable, "STARTING", "no checkpoint before recovery is done"));
    checkpointer_.Start([this, done = std::move(done)](absl::Status status) mutable {
      NoteCheckpoint(status);
      done(status);
    });
  }

  void StartDraining() override {
    queue_->StartDraining();
    ingest_->StartDraining();
  }

  void Shutdown() override {
    std::vector<absl::AnyInvocable<void()>> dropped, batch;
    {
      MutexLock lock(&mu_);
      shut_ = true;
      dropped.swap(inbox_);
      batch.swap(batch_);
      batch_next_ = batch_left_ = 0;
    }
  }

 private:
  int64_t Now() const { return std::max(clock_->NowMs(), time_floor_ms_); }
  absl::Status BeginEpoch(const RecoveryResult& result);
  void FinishRecovery(const absl::Status& durable);
  void Fail(const absl::Status& status);
  bool RunCommands();
  bool RunTimers(int64_t now);
  void AskForCommit();
  void Housekeep(int64_t now);
  void NoteCheckpoint(const absl::Status& status);
  int64_t NextDeadline() const;

  const EngineOptions options_;
  const Clock* const clock_;
  Journal* const journal_;
  EngineProbe probe_;

  // Any thread. `ready_` releases what recovery built; the rest are plain values.
  std::atomic<bool> ready_{false};
  std::atomic<uint64_t> epoch_{0};
  std::atomic<uint64_t> history_id_{0};
  std::atomic<bool> appended_{false};
  std::atomic<size_t> waiting_{0};

  // Engine thread.
  Rng rng_;
  SeriesStore store_;
  DurableQueue durable_;
  std::unique_ptr<CounterFold> counter_;
  std::unique_ptr<WorkQueue> queue_;
  std::unique_ptr<ReportIngest> ingest_;
  MetaFold meta_;
  QueueScalers scalers_;
  Checkpointer checkpointer_;
  std::function<void()> commit_waker_;
  std::function<void()> waker_;
  std::function<void()> state_observer_;
  RecoveryResult recovery_;
  bool failed_ = false;
  int64_t time_floor_ms_ = 0;
  int64_t stats_due_ms_ = 0;
  int64_t housekeeping_due_ms_ = 0;
  int64_t heartbeat_due_ms_ = 0;
  int64_t checkpoint_due_ms_ = 0;
  int64_t unhurried_due_ms_ = kNever;  // records that nobody waits for are committed then
  Lsn asked_lsn_ = 0;                  // commits up to here are asked for
  Lsn heartbeat_lsn_ = 0;
  bool stats_dirty_ = true;
  std::vector<absl::AnyInvocable<void()>> batch_;
  size_t batch_next_ = 0;

  mutable Mutex mu_;
  std::vector<absl::AnyInvocable<void()>> inbox_ ABSL_GUARDED_BY(mu_);
  size_t batch_left_ ABSL_GUARDED_BY(mu_) = 0;
  // Set by Rest; whoever clears it calls the waker, so that a burst costs one call.
  bool resting_ ABSL_GUARDED_BY(mu_) = false;
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
  bool shut_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
};

absl::Status EngineImpl::Recover(std::function<void(double)> progress) {
  const int64_t began_ns = clock_->MonotonicNanos();
  Fold* const folds[] = {&meta_, queue_.get(), counter_.get(), &scalers_};
  absl::StatusOr<RecoveryResult> result = journal_->Recover(folds, [&](double share) {
    probe_.recovery_progress->Set(share);
    if (progress) progress(share);
  });
  absl::Status status = result.ok() ? BeginEpoch(*result) : result.status();
  if (!status.ok()) {
    Fail(status);
    return status;
  }
  recovery_ = *result;
  probe_.recovery_progress->Set(1);
  probe_.recovery_records->Set(static_cast<double>(result->replayed_records));
  probe_.recovery_seconds->Set(static_cast<double>(clock_->MonotonicNanos() - began_ns) / 1e9);
  if (result->cut_bytes > 0) Log(LogLevel::kWarning, "journal_tail_cut", {{"bytes", std::to_string(result->cut_bytes)}});
  if (commit_waker_) commit_waker_();
  return absl::OkStatus();
}

// The epoch is in every token of this boot, so nothing is leased before its record is durable.
absl::Status EngineImpl::BeginEpoch(const RecoveryResult& result) {
  time_floor_ms_ = meta_.largest_at_ms();
  if (options_.carry_time && time_floor_ms_ > 0) options_.carry_time(time_floor_ms_);
  EpochState next = meta_.epoch();
  next.at_ms = Now();
  next.address = options_.address;
  ++next.epoch;
  if (result.created || result.restored || next.history_id == 0) {
    do next.history_id = rng_.Next();
    while (next.history_id == 0 || next.history_id == meta_.epoch().history_id);
    next.history_start_ms = next.at_ms;
  }
  if (next.hash_key.size() != 16) {
    next.hash_key.clear();
    for (int word = 0; word < 2; ++word) {
      for (uint64_t bits = rng_.Next(), i = 0; i < 8; ++i, bits >>= 8) next.hash_key.push_back(static_cast<char>(bits & 0xff));
    }
  }
  const std::string meta = EncodeEpoch(next);
  RecordView record;
  record.type = RecordType::kEpoch;
  record.id = next.epoch;
  record.meta = meta;
  RecordPosition position;
  WHEELPIT_ASSIGN_OR_RETURN(const Lsn lsn, journal_->AppendReserved(absl::MakeConstSpan(&record, 1), &position));
  WHEELPIT_RETURN_IF_ERROR(meta_.Replay(lsn, position, record));
  counter_->SetHistory(next.history_id, next.history_start_ms);
  epoch_.store(next.epoch, std::memory_order_relaxed);
  history_id_.store(next.history_id, std::memory_order_relaxed);
  probe_.leader_epoch->Set(static_cast<double>(next.epoch));
  durable_.After(lsn, [this](const absl::Status& durable) { FinishRecovery(durable); });
  return absl::OkStatus();
}

void EngineImpl::FinishRecovery(const absl::Status& durable) {
  if (!durable.ok()) return Fail(durable);
  const int64_t now = Now();
  SipKey hash_key;
  std::copy_n(meta_.epoch().hash_key.begin(), hash_key.size(), hash_key.begin());
  queue_->SetEpoch(meta_.epoch().epoch, hash_key);
  for (Fold* fold : std::initializer_list<Fold*>{&meta_, queue_.get(), counter_.get(), &scalers_}) {
    if (absl::Status status = fold->RecoveryDone(now); !status.ok()) return Fail(status);
  }
  journal_->PinsComplete();
  queue_->PublishStats(now);
  housekeeping_due_ms_ = now + kHousekeepingMs;
  heartbeat_due_ms_ = now + options_.heartbeat_interval_ms;
  checkpoint_due_ms_ = now + options_.checkpoint_interval_ms;
  ready_.store(true, std::memory_order_release);
  probe_.ready->Set(1);
  Log(LogLevel::kInfo, "ready",
      {{"epoch", std::to_string(epoch())}, {"replayed_records", std::to_string(recovery_.replayed_records)}, {"lsn", std::to_string(journal_->last_lsn())}});
  if (state_observer_) state_observer_();
}

void EngineImpl::Fail(const absl::Status& status) {
  if (failed_) return;
  failed_ = true;
  ready_.store(false, std::memory_order_release);
  probe_.ready->Set(0);
  {
    MutexLock lock(&mu_);
    failure_ = status;
  }
  Log(LogLevel::kError, "engine_failed", {{"error", std::string(status.message())}});
  durable_.Fail(status);
  if (state_observer_) state_observer_();
}

bool EngineImpl::RunOnce() {
  bool worked = RunCommands();
  // The durable position is read before the status: what became durable before a failure is still answered as such.
  const Lsn durable = journal_->durable_lsn();
  if (durable > durable_.advanced() || durable_.Due(durable)) {
    durable_.Advance(durable);
    worked = true;
  }
  if (!failed_) {
    if (absl::Status status = journal_->status(); !status.ok()) {
      durable_.Advance(journal_->durable_lsn());
      Fail(status);
      worked = true;
    }
  }
  if (ready()) {
    const int64_t now = Now();
    worked |= RunTimers(now);
    worked |= checkpointer_.Step();
    if (now >= housekeeping_due_ms_) Housekeep(now);
    stats_dirty_ |= worked;
    if (stats_dirty_ && now >= stats_due_ms_) {
      queue_->PublishStats(now);
      stats_dirty_ = false;
      stats_due_ms_ = now + options_.stats_interval_ms;
    }
  }
  AskForCommit();
  if (worked) probe_.rounds->Add();
  return worked;
}

// What nobody waits for would cost a sync of its own, and whoever comes meanwhile would wait for that.
void EngineImpl::AskForCommit() {
  const bool appended = appended_.exchange(false, std::memory_order_relaxed);
  bool ask = durable_.awaited() > asked_lsn_;
  if (!ask && (appended || unhurried_due_ms_ != kNever)) {
    const int64_t now = Now();
    if (unhurried_due_ms_ == kNever) unhurried_due_ms_ = now + options_.unhurried_commit_ms;
    ask = now >= unhurried_due_ms_;
  }
  if (!ask) return;
  asked_lsn_ = journal_->last_lsn();
  unhurried_due_ms_ = kNever;
  if (commit_waker_) commit_waker_();
}

bool EngineImpl::RunCommands() {
  if (batch_next_ == batch_.size()) {
    batch_.clear();
    batch_next_ = 0;
    MutexLock lock(&mu_);
    woken_ = resting_ = false;
    batch_.swap(inbox_);
    batch_left_ = batch_.size();
  }
  if (batch_.empty()) return false;
  const size_t end = std::min(batch_.size(), batch_next_ + static_cast<size_t>(options_.commands_per_round));
  const size_t ran = end - batch_next_;
  for (; batch_next_ < end; ++batch_next_) {
    // Destroyed as soon as it ran: closures own replies and payloads.
    absl::AnyInvocable<void()> command = std::move(batch_[batch_next_]);
    command();
  }
  probe_.commands->Add(ran);
  MutexLock lock(&mu_);
  batch_left_ = batch_.size() - batch_next_;
  waiting_.store(inbox_.size() + batch_left_, std::memory_order_relaxed);
  return true;
}

bool EngineImpl::RunTimers(int64_t now) {
  bool worked = false;
  if (queue_->NextDeadline() <= now) {
    queue_->Advance(now, kTimersPerRound);
    worked = true;
  }
  if (ingest_->NextDeadline() <= now) {
    ingest_->Advance(now);
    worked = true;
  }
  return worked;
}

void EngineImpl::Housekeep(int64_t now) {
  housekeeping_due_ms_ = now + kHousekeepingMs;
  meta_.NoteTime(now);
  scalers_.Save(now);
  // Ages, rates and estimates move when nothing else does.
  stats_dirty_ = true;
  // A commit that found the disk full is tried again though nobody asks for more.
  if (durable_.awaited() > journal_->durable_lsn() && commit_waker_) commit_waker_();
  const JournalUsage usage = journal_->Usage();
  const uint64_t bytes_due = std::max(options_.checkpoint_bytes, usage.checkpoint_bytes);
  if (!checkpointer_.running() && usage.bytes_since_checkpoint >= kCheckpointBytesMin &&
      (usage.bytes_since_checkpoint >= bytes_due || now >= checkpoint_due_ms_)) {
    checkpoint_due_ms_ = now + options_.checkpoint_interval_ms;
    checkpointer_.Start([this](absl::Status status) { NoteCheckpoint(status); });
  }
  if (now < heartbeat_due_ms_) return;
  heartbeat_due_ms_ = now + options_.heartbeat_interval_ms;
  // Any record since the last look holds a time that is recent enough.
  if (journal_->last_lsn() != heartbeat_lsn_) {
    heartbeat_lsn_ = journal_->last_lsn();
    return;
  }
  const std::string meta = EncodeHeartbeat(now);
  RecordView record;
  record.type = RecordType::kHeartbeat;
  record.meta = meta;
  if (absl::StatusOr<Lsn> lsn = journal_->AppendOngoing(absl::MakeConstSpan(&record, 1), nullptr); lsn.ok()) heartbeat_lsn_ = *lsn;
}

void EngineImpl::NoteCheckpoint(const absl::Status& status) {
  (status.ok() ? probe_.checkpoints : probe_.checkpoint_failures)->Add();
  if (!status.ok()) Log(LogLevel::kWarning, "checkpoint_failed", {{"error", std::string(status.message())}});
}

int64_t EngineImpl::NextDeadline() const {
  if (!ready()) return unhurried_due_ms_;
  int64_t deadline = std::min({queue_->NextDeadline(), ingest_->NextDeadline(), housekeeping_due_ms_, unhurried_due_ms_});
  if (stats_dirty_) deadline = std::min(deadline, stats_due_ms_);
  return deadline;
}

bool EngineImpl::Rest(int64_t* until_ms) {
  *until_ms = NextDeadline();
  if (*until_ms != kNever && *until_ms <= Now()) return false;
  const Lsn durable = journal_->durable_lsn();
  if (durable > durable_.advanced() || durable_.Due(durable)) return false;
  MutexLock lock(&mu_);
  if (!inbox_.empty() || woken_ || batch_next_ < batch_.size()) return false;
  resting_ = true;
  return true;
}

}  // namespace

std::unique_ptr<Engine> Engine::Create(const EngineOptions& options, const Clock* clock, Journal* journal, Executor* background,
                                       uint64_t seed) {
  return std::make_unique<EngineImpl>(options, clock, journal, background, seed);
}

}  // namespace wheelpit
