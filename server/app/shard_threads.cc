#include "server/app/shard_threads.h"

#include <algorithm>
#include <utility>

namespace wheelpit {
namespace {
// An alarm may be heard so much late while the thread that would hear it syncs.
constexpr int64_t kAlarmSlackNs = 10'000'000;

// The shard whose journal this thread is committing.
thread_local const ShardThreads* committing = nullptr;
}  // namespace

ShardThreads::ShardThreads(Engine* engine, Journal* journal, const Clock* clock)
    : engine_(engine), journal_(journal), clock_(clock), sync_interval_ns_(journal->sync_interval_ms() * 1'000'000) {
  engine_->SetWaker([this] { EngineHasWork(); });
  if (journal_->durable()) {
    engine_->SetCommitWaker([this] { commit_due_.store(true); });
  } else {
    // Nothing to wait for: no thread is needed for it.
    engine_->SetCommitWaker([this] { journal_->Commit(); });
  }
}

void ShardThreads::Start(absl::AnyInvocable<bool()> recover) {
  MutexLock lock(&mu_);
  recover_ = std::move(recover);
  engine_due_ = true;
  members_[0].thread = NamedThread("shard-a", [this, me = &members_[0]] { Loop(me); });
  if (journal_->durable()) members_[1].thread = NamedThread("shard-b", [this, me = &members_[1]] { Loop(me); });
}

void ShardThreads::Stop() {
  NamedThread ended[2];
  {
    MutexLock lock(&mu_);
    stopping_.store(true);
    for (size_t i = 0; i < members_.size(); ++i) {
      members_[i].wake.Signal();
      ended[i] = std::move(members_[i].thread);
    }
  }
  for (NamedThread& thread : ended) thread.Join();
  while (journal_->Commit()) {
  }
  journal_->Sync();
}

void ShardThreads::Loop(Member* me) {
  mu_.Lock();
  while (!stopping_.load()) {
    if (engine_due_ && !engine_busy_) {
      // Answers here and a sync there: both are waited for.
      if (commit_due_.load() && !journal_busy_.load()) WakeOne();
      RunEngine();
    } else if (!journal_busy_.load() && (commit_due_.load() || maintenance_due_ || clock_->MonotonicNanos() >= sync_due_ns_)) {
      RunJournal(me);
    } else {
      Idle(me);
    }
  }
  mu_.Unlock();
}

void ShardThreads::RunEngine() {
  engine_busy_ = true;
  engine_due_ = false;
  absl::AnyInvocable<bool()> recover = std::exchange(recover_, nullptr);
  bool dead = engine_dead_;
  mu_.Unlock();
  if (recover) dead = !recover();
  int64_t until_ms = kNever;
  bool overdue = false;
  while (!dead && !stopping_.load(std::memory_order_relaxed)) {
    if (!engine_->RunOnce() && engine_->Rest(&until_ms)) break;
    // With nothing else to do this thread commits as soon as the engine rests.
    const bool due = commit_due_.load();
    if (due && (overdue || engine_->HasCommands())) HandOverCommit();
    overdue = due;
  }
  const int64_t alarm_ns =
      until_ms == kNever ? kNever : clock_->MonotonicNanos() + std::max<int64_t>(0, until_ms - clock_->NowMs()) * 1'000'000;
  mu_.Lock();
  engine_busy_ = false;
  engine_dead_ = dead;
  engine_alarm_ns_ = alarm_ns;
}

void ShardThreads::HandOverCommit() {
  if (journal_busy_.load()) return;  // who is at it looks again
  MutexLock lock(&mu_);
  WakeOne();
}

void ShardThreads::RunJournal(Member* me) {
  journal_busy_.store(true);
  const bool maintain_first = !commit_due_.exchange(false) && maintenance_due_;
  int64_t sync_due_ns = sync_due_ns_;
  // An alarm that nobody would hear while this thread is at the disk.
  for (Member& other : members_) {
    if (&other != me && other.idle && other.until_ns - kAlarmSlackNs > NextAlarm()) WakeOne();
  }
  mu_.Unlock();
  if (!maintain_first) {
    committing = this;
    if (journal_->CommitAppended() && sync_interval_ns_ > 0 && sync_due_ns == kNever) {
      sync_due_ns = clock_->MonotonicNanos() + sync_interval_ns_;
    }
    if (clock_->MonotonicNanos() >= sync_due_ns) {
      journal_->Sync();
      sync_due_ns = kNever;
    }
    committing = nullptr;
  }
  mu_.Lock();
  // Answers go before maintenance, but not for ever.
  const bool put_off = !maintain_first && !maintenance_due_ && engine_due_ && !engine_busy_;
  if (!put_off) {
    if (engine_due_ && !engine_busy_) WakeOne();
    mu_.Unlock();
    journal_->Maintain();
    mu_.Lock();
  }
  maintenance_due_ = put_off;
  sync_due_ns_ = sync_due_ns;
  journal_busy_.store(false);
}

// Whoever has a duty looks at its alarm when it is done.
int64_t ShardThreads::NextAlarm() const {
  return std::min(engine_busy_ ? kNever : engine_alarm_ns_, journal_busy_.load() ? kNever : sync_due_ns_);
}

void ShardThreads::Idle(Member* me) {
  const int64_t until_ns = NextAlarm();
  const int64_t now_ns = until_ns == kNever ? 0 : clock_->MonotonicNanos();
  if (until_ns > now_ns) {
    me->idle = true;
    me->until_ns = until_ns;
    last_idle_ = me;
    if (until_ns == kNever) {
      me->wake.Wait(&mu_);
    } else {
      me->wake.WaitWithTimeout(&mu_, absl::Nanoseconds(until_ns - now_ns));
    }
    me->idle = false;
  }
  if (!engine_busy_ && engine_alarm_ns_ != kNever && clock_->MonotonicNanos() >= engine_alarm_ns_) {
    engine_alarm_ns_ = kNever;
    engine_due_ = true;
  }
}

void ShardThreads::EngineHasWork() {
  MutexLock lock(&mu_);
  engine_due_ = true;
  // Who commits takes the engine itself when it is done.
  if (!engine_busy_ && committing != this) WakeOne();
}

void ShardThreads::WakeOne() {
  Member* chosen = last_idle_ != nullptr && last_idle_->idle ? last_idle_ : nullptr;
  for (Member& member : members_) {
    if (chosen == nullptr && member.idle) chosen = &member;
  }
  if (chosen == nullptr) return;
  chosen->idle = false;  // so that the next call wakes another
  chosen->wake.Signal();
}

}  // namespace wheelpit
