// What the HTTP routes need of the server behind them. Implemented by app/ over the engine.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/model/task.h"
#include "server/queue/work_queue.h"

namespace wheelpit {

// Thread-safe. Calls block the HTTP thread until the answer is there; errors carry the reasons of WorkQueue.
class HttpBackend {
 public:
  virtual ~HttpBackend() = default;
  // Whether requests are served: OK, or why not (shown on /readyz).
  virtual absl::Status Ready() const = 0;
  // Durable when it returns OK.
  virtual absl::StatusOr<SubmitOutcome> Submit(TaskSpec spec) = 0;
  // When the task is terminal, or as it is after `timeout_ms` (0 = at once) or when the server drains.
  virtual absl::StatusOr<TaskView> GetTask(TaskId id, int64_t timeout_ms, bool with_result) = 0;
  virtual absl::StatusOr<TaskView> Cancel(TaskId id, bool force) = 0;
  // Aggregator time.
  virtual int64_t NowMs() const = 0;
  // For latencies; arbitrary zero.
  virtual int64_t MonotonicNanos() const = 0;
};

}  // namespace wheelpit
