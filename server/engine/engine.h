// One shard: its journal, the two folds, and the engine loop that runs them. Owned by app/; a simulation steps it by hand.
//
// The engine thread calls RunOnce in a loop; the journal thread calls journal->Commit(). Post from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/sync.h"
#include "server/ingest/counter_fold.h"
#include "server/ingest/report_ingest.h"
#include "server/journal/durable_queue.h"
#include "server/journal/journal.h"
#include "server/queue/work_queue.h"
#include "server/series/series_store.h"

namespace wheelpit {

struct EngineOptions {
  WorkQueueOptions queue;
  ReportIngestOptions ingest;
  SeriesLimits series;
  int commands_per_round = 1024;
  uint64_t checkpoint_bytes = 512ULL << 20;
  int64_t checkpoint_interval_ms = 300'000;
};

class Engine : public Executor {
 public:
  // `clock`, `journal` outlive the engine. `background` runs checkpoint I/O.
  static std::unique_ptr<Engine> Create(const EngineOptions& options, Clock* clock, Journal* journal, Executor* background, uint64_t seed);

  // Recovers the folds and writes the EPOCH record; then ready() once that is durable. Engine thread.
  virtual absl::Status Recover(std::function<void(double)> progress) = 0;

  // Runs waiting commands and what is due by time, appends, applies what became durable. Returns false if there was nothing to do.
  virtual bool RunOnce() = 0;
  // Blocks until there is something to do or `deadline_ms` of aggregator time. Engine thread.
  virtual void WaitForWork() = 0;
  // Makes WaitForWork return.
  virtual void Wake() = 0;

  virtual WorkQueue& queue() = 0;
  virtual ReportIngest& ingest() = 0;
  virtual SeriesStore& store() = 0;
  virtual bool ready() const = 0;            // any thread
  virtual uint64_t epoch() const = 0;        // after Recover
  virtual uint64_t history_id() const = 0;
  // Starts a checkpoint now; `done` on the engine thread.
  virtual void Checkpoint(absl::AnyInvocable<void(absl::Status)> done) = 0;
};

}  // namespace wheelpit
