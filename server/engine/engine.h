// One shard: its journal, the two folds, and the engine loop that runs them. Owned by app/; a simulation steps it by hand.
//
// "Engine thread" is whoever runs rounds: one thread at a time, each seeing all that the one before it did; "journal thread" is whoever
// commits. Post from any thread. Nothing in here starts a thread or blocks.
//
//   auto engine = Engine::Create(options, clock, journal, background, seed);
//   engine->Recover(nullptr);                            // engine thread
//   while (!stop) if (!engine->RunOnce() && engine->Rest(&until_ms)) … wait for the waker, or until then …
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/clock.h"
#include "base/executor.h"
#include "server/ingest/counter_fold.h"
#include "server/ingest/report_ingest.h"
#include "server/journal/journal.h"
#include "server/queue/work_queue.h"
#include "server/series/series_store.h"

namespace wheelpit {

struct EngineOptions {
  WorkQueueOptions queue;
  ReportIngestOptions ingest;
  SeriesLimits series;
  int commands_per_round = 1024;
  // Waiting commands beyond which Overloaded() says so.
  size_t commands_max = 65'536;
  // A checkpoint is due after this much journal, or as much as the last checkpoint took if that is more; or after this time.
  uint64_t checkpoint_bytes = 512ULL << 20;
  int64_t checkpoint_interval_ms = 300'000;
  // An idle journal gets a HEARTBEAT this often, so that time does not fall over a restart under an earlier wall clock.
  int64_t heartbeat_interval_ms = 10'000;
  // Records that nobody waits for are committed with those that somebody waits for, or after this time.
  int64_t unhurried_commit_ms = 2;
  // Queue stats are published at most this often.
  int64_t stats_interval_ms = 100;
  // Where this process answers clients; goes into the EPOCH record. May be empty.
  std::string address;
  // Recovery found a stored time: the clock must go on from there. May be null.
  std::function<void(TimeMs not_before_ms)> carry_time;
};

class Engine : public Executor {
 public:
  // `clock`, `journal` and `background` outlive the engine. `background` runs checkpoint I/O, one closure after the other.
  static std::unique_ptr<Engine> Create(const EngineOptions& options, const Clock* clock, Journal* journal, Executor* background,
                                        uint64_t seed);

  // Called at the end of a round, on the engine thread, when what was appended is to be committed: whoever does that must look again
  // after this. Set before Recover.
  virtual void SetCommitWaker(std::function<void()> waker) = 0;
  // Called on any thread when there is something to do again after Rest(). Set before Recover.
  virtual void SetWaker(std::function<void()> waker) = 0;
  // Called on the engine thread after ready() or failure() changed. Set before Recover.
  virtual void SetStateObserver(std::function<void()> observer) = 0;

  // Recovers the folds and appends the EPOCH record; RunOnce makes the engine ready once that is durable. Engine thread, once.
  // Errors: what Journal::Recover returns, or what a fold found wrong; the process cannot go on.
  virtual absl::Status Recover(std::function<void(double)> progress) = 0;

  // Runs waiting commands, then what became durable, then what is due by time. Returns false if there was nothing to do.
  virtual bool RunOnce() = 0;
  // False if there is something to do. Else the waker is called when there is, and time brings something at `*until_ms` (kNever: not).
  // The next RunOnce ends the rest. Engine thread.
  static constexpr int64_t kNever = INT64_MAX;
  virtual bool Rest(int64_t* until_ms) = 0;
  // Commands wait for the next round. Any thread; a hint.
  virtual bool HasCommands() const = 0;
  // Calls the waker if the engine rests, and makes the next Rest() return false. Any thread.
  virtual void Wake() = 0;

  // Pointers are good from Create on; calls only on the engine thread, except where their headers say otherwise.
  virtual WorkQueue& queue() = 0;
  virtual ReportIngest& ingest() = 0;
  virtual SeriesStore& store() = 0;

  virtual bool ready() const = 0;           // any thread
  virtual absl::Status failure() const = 0; // any thread; OK until the journal or recovery failed, and then for good
  virtual uint64_t epoch() const = 0;       // any thread; 0 before Recover
  virtual uint64_t history_id() const = 0;  // any thread; 0 before Recover
  virtual RecoveryResult recovery() const = 0;  // engine thread, after Recover

  // Starts a checkpoint now, or joins one that is under way; `done` on the engine thread. Engine thread.
  virtual void Checkpoint(absl::AnyInvocable<void(absl::Status)> done) = 0;
  // Refuses new work (DRAINING) and goes on with the old. Engine thread.
  virtual void StartDraining() = 0;
  // Commands posted from now on are destroyed unrun, and so are the waiting ones. Any thread, once the loop has ended.
  virtual void Shutdown() = 0;
};

}  // namespace wheelpit
