// What the gRPC services share: the rooms that they call, and whether work is taken now.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/executor.h"
#include "server/ingest/report_ingest.h"
#include "server/journal/journal.h"
#include "server/promql/query_engine.h"
#include "server/queue/work_queue.h"
#include "server/series/series_store.h"

namespace wheelpit {

enum class ServingState { kStarting, kServing, kDraining, kFailed };

// What GetServerInfo tells; any thread.
struct ServerFacts {
  uint64_t history_id = 0;
  uint64_t epoch = 0;
  double recovery_progress = 0;
  std::string failure;  // empty = none
};

// Everything pointed to outlives the services. Plain members are set before the server starts.
struct RpcContext {
  Executor* engine = nullptr;
  WorkQueue* queue = nullptr;      // engine thread
  ReportIngest* ingest = nullptr;  // engine thread
  const SeriesStore* store = nullptr;
  const QueryEngine* query = nullptr;
  const Journal* journal = nullptr;
  const Clock* clock = nullptr;
  SeriesLimits series_limits;
  ReportIngestOptions ingest_options;
  WorkQueueOptions queue_options;
  std::string version;
  std::function<ServerFacts()> facts;

  // Acquire/release: whoever sees kServing sees the recovered state.
  std::atomic<ServingState> state{ServingState::kStarting};

  // For reads, and for work that ends what was begun.
  absl::Status CheckServing() const {
    switch (state.load(std::memory_order_acquire)) {
      case ServingState::kStarting:
        return MakeError(absl::StatusCode::kUnavailable, "STARTING", "the server is reading its journal", absl::Seconds(1));
      case ServingState::kFailed:
        return MakeError(absl::StatusCode::kUnavailable, "JOURNAL", "the journal failed; the server is going down", absl::Seconds(1));
      default:
        return absl::OkStatus();
    }
  }
  // For what makes work.
  absl::Status CheckNewWork() const {
    if (absl::Status status = CheckServing(); !status.ok()) return status;
    if (state.load(std::memory_order_acquire) == ServingState::kDraining) {
      return MakeError(absl::StatusCode::kUnavailable, "DRAINING", "the server is shutting down", absl::Seconds(1));
    }
    if (engine->Overloaded()) {
      return MakeError(absl::StatusCode::kResourceExhausted, "OVERLOADED", "too many requests wait for the engine", absl::Milliseconds(100));
    }
    return absl::OkStatus();
  }
};

}  // namespace wheelpit
