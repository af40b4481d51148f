// One simulated machine: a clock, a disk that fails, and the life of one aggregator process on it, stepped by hand.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "base/executor.h"
#include "base/random.h"
#include "server/engine/engine.h"
#include "server/journal_log/segmented_log.h"
#include "tests/support/fault_file.h"
#include "tests/support/simulated_clock.h"

namespace wheelpit::sim {

// Closures wait until stepped.
class ManualExecutor final : public Executor {
 public:
  void Post(absl::AnyInvocable<void()> fn) override { waiting_.push_back(std::move(fn)); }
  bool Step() {
    if (waiting_.empty()) return false;
    absl::AnyInvocable<void()> fn = std::move(waiting_.front());
    waiting_.pop_front();
    fn();
    return true;
  }
  void Drop() { waiting_.clear(); }

 private:
  std::deque<absl::AnyInvocable<void()>> waiting_;
};

class World {
 public:
  explicit World(uint64_t seed);
  ~World();

  // Starts a process on what the disk holds and runs it until it is ready. An error is what recovery said.
  absl::Status Start();
  // Ends it as kill -9 does; the disk's cache stays. Client closures are destroyed unrun.
  void Kill();
  // Kill, and the machine loses what was not synced.
  void PowerCut();
  bool alive() const { return engine_ != nullptr; }
  uint64_t life() const { return life_; }

  // One round of the engine, and one group commit.
  bool RunEngine() { return engine_->RunOnce(); }
  bool Commit() { return log_->Commit(); }
  // Runs everything that is there to run.
  void Settle();

  Engine& engine() { return *engine_; }
  WorkQueue& queue() { return engine_->queue(); }
  ReportIngest& ingest() { return engine_->ingest(); }
  SimulatedClock& clock() { return clock_; }
  int64_t now() const { return clock_.NowMs(); }
  FaultFileSystem& disk() { return disk_; }
  ManualExecutor& background() { return background_; }

 private:
  const uint64_t seed_;
  SimulatedClock clock_;
  FaultFileSystem disk_;
  ManualExecutor background_;
  std::unique_ptr<SegmentedLog> log_;
  std::unique_ptr<Engine> engine_;
  uint64_t life_ = 0;
};

}  // namespace wheelpit::sim
