// What the HTTP routes and the gateway need of the server, over the engine. Handlers block until the engine has answered.
#pragma once

#include <memory>

#include "absl/container/flat_hash_set.h"
#include "client/gateway/gateway.h"
#include "server/app/gateway_counter.h"
#include "server/app/pending.h"
#include "server/http/http_backend.h"
#include "server/rpc/rpc_context.h"

namespace wheelpit {

// Thread-safe, except where said.
class LocalBackend : public HttpBackend, public GatewayBackend {
 public:
  // `rpc` outlives it.
  explicit LocalBackend(RpcContext* rpc) : rpc_(rpc) {}

  // Engine thread, before the state becomes kServing; outlives the engine loop.
  void SetCounter(GatewayCounter* counter) { counter_ = counter; }
  // Answers whoever waits for the end of a task with the task as it is. Engine thread.
  void EndWaits();

  absl::Status Ready() const override { return rpc_->CheckNewWork(); }
  absl::StatusOr<SubmitOutcome> Submit(TaskSpec spec) override;
  absl::StatusOr<TaskView> GetTask(TaskId id, int64_t timeout_ms, bool with_result) override;
  absl::StatusOr<TaskView> Cancel(TaskId id, bool force) override;
  int64_t NowMs() const override { return rpc_->clock->NowMs(); }
  int64_t MonotonicNanos() const override { return rpc_->clock->MonotonicNanos(); }

  absl::StatusOr<std::string> Submit(GatewayTask task) override;
  absl::Status Count(const std::string& counter, const GatewayLabels& labels) override;

 private:
  using TaskResult = absl::StatusOr<TaskView>;
  struct Wait {
    TaskId id;
    bool with_result = false;
    PendingSetter<TaskResult> setter;
  };

  RpcContext* const rpc_;
  // Engine thread.
  GatewayCounter* counter_ = nullptr;
  absl::flat_hash_set<std::shared_ptr<Wait>> waits_;
};

}  // namespace wheelpit
