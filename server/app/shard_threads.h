// The threads of a shard: they run its engine and commit its journal.
//
// Neither duty belongs to a thread; whoever is free takes what is due. So one thread carries a lone request through (round, commit,
// answer) and hands it to nobody, and under load one thread runs rounds while the other syncs. Each duty has one thread at a time, and
// who takes it over sees all that was done before: to the engine that is "the engine thread", to the journal "the journal thread".
//
//   ShardThreads threads(engine, journal, clock);
//   threads.Start([&] { return engine->Recover(nullptr).ok(); });
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/sync.h"
#include "server/app/threads.h"
#include "server/engine/engine.h"
#include "server/journal/journal.h"

namespace wheelpit {

class ShardThreads {
 public:
  // All outlive it. Sets the engine's wakers.
  ShardThreads(Engine* engine, Journal* journal, const Clock* clock);
  ~ShardThreads() { Stop(); }
  ShardThreads(const ShardThreads&) = delete;
  ShardThreads& operator=(const ShardThreads&) = delete;

  // `recover` runs as the engine thread; rounds follow if it returns true. Once.
  void Start(absl::AnyInvocable<bool()> recover);
  // Ends the threads and commits what is appended. No engine thread is left after it.
  void Stop();

 private:
  static constexpr int64_t kNever = Engine::kNever;
  struct Member {
    CondVar wake;
    bool idle = false;
    int64_t until_ns = kNever;  // while idle
    NamedThread thread;
  };

  void Loop(Member* me);
  void RunEngine() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RunJournal(Member* me) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Idle(Member* me) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EngineHasWork();
  // Wakes the one that has been idle for the shorter time.
  void WakeOne() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void HandOverCommit();
  int64_t NextAlarm() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Engine* const engine_;
  Journal* const journal_;
  const Clock* const clock_;
  const int64_t sync_interval_ns_;

  // What was appended is to be committed. Set by the engine thread; with journal_busy_ sequentially consistent, so that of "due" and
  // "no longer busy" one side sees the other.
  std::atomic<bool> commit_due_{false};
  std::atomic<bool> journal_busy_{false};  // written under mu_
  std::atomic<bool> stopping_{false};      // written under mu_

  Mutex mu_;
  absl::AnyInvocable<bool()> recover_ ABSL_GUARDED_BY(mu_);
  bool engine_due_ ABSL_GUARDED_BY(mu_) = false;
  bool engine_busy_ ABSL_GUARDED_BY(mu_) = false;
  bool engine_dead_ ABSL_GUARDED_BY(mu_) = false;  // recovery failed
  int64_t engine_alarm_ns_ ABSL_GUARDED_BY(mu_) = kNever;
  int64_t sync_due_ns_ ABSL_GUARDED_BY(mu_) = kNever;  // durability `interval`: written, to be synced then
  bool maintenance_due_ ABSL_GUARDED_BY(mu_) = false;
  Member* last_idle_ ABSL_GUARDED_BY(mu_) = nullptr;
  std::array<Member, 2> members_ ABSL_GUARDED_BY(mu_);
};

}  // namespace wheelpit
