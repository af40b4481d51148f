#include "server/app/http_backend.h"

#include <string>
#include <utility>
#include <vector>

#include "base/errors.h"
#include "server/queue/probe.h"
#include "server/rpc/probe.h"

namespace wheelpit {
namespace {

absl::Status Stopped() { return MakeError(absl::StatusCode::kUnavailable, "DRAINING", "the server is shutting down", absl::Seconds(1)); }

Labels ToLabels(const GatewayLabels& labels) { return Labels(std::vector<Labels::Pair>(labels.begin(), labels.end())); }

}  // namespace

absl::StatusOr<SubmitOutcome> LocalBackend::Submit(TaskSpec spec) {
  const int64_t began_ns = rpc_->clock->MonotonicNanos();
  if (absl::Status status = rpc_->CheckNewWork(); !status.ok()) {
    QueueProbe::CountRejected(QueueProbe::kOther, ErrorReason(status));
    return status;
  }
  using Result = absl::StatusOr<SubmitOutcome>;
  auto pending = std::make_shared<Pending<Result>>();
  rpc_->engine->Post([rpc = rpc_, spec = std::move(spec), setter = PendingSetter<Result>(pending, Stopped())]() mutable {
    rpc->queue->Submit(std::move(spec), rpc->clock->NowMs(),
                       [setter = std::move(setter)](Result outcome) mutable { setter.Set(std::move(outcome)); });
  });
  Result outcome = pending->Wait();
  ObserveSubmit(outcome, RpcProbe::Seconds(began_ns, rpc_->clock->MonotonicNanos()));
  return outcome;
}

absl::StatusOr<TaskView> LocalBackend::GetTask(TaskId id, int64_t timeout_ms, bool with_result) {
  if (absl::Status status = rpc_->CheckServing(); !status.ok()) return status;
  auto pending = std::make_shared<Pending<TaskResult>>();
  auto wait = std::make_shared<Wait>(Wait{id, with_result, PendingSetter<TaskResult>(pending, Stopped())});
  // A draining server answers at once.
  if (rpc_->state.load(std::memory_order_acquire) == ServingState::kDraining) timeout_ms = 0;
  rpc_->engine->Post([this, wait = std::move(wait), timeout_ms]() mutable {
    WorkQueue::ViewOptions view;
    view.result = wait->with_result;
    if (timeout_ms == 0) return wait->setter.Set(rpc_->queue->GetTask(wait->id, view, NowMs()));
    waits_.insert(wait);
    rpc_->queue->WaitTask(wait->id, timeout_ms, view, NowMs(), [this, wait](TaskResult task) {
      waits_.erase(wait);
      wait->setter.Set(std::move(task));
    });
  });
  return pending->Wait();
}

void LocalBackend::EndWaits() {
  for (const auto& wait : std::exchange(waits_, {})) {
    WorkQueue::ViewOptions view;
    view.result = wait->with_result;
    wait->setter.Set(rpc_->queue->GetTask(wait->id, view, NowMs()));
  }
}

absl::StatusOr<TaskView> LocalBackend::Cancel(TaskId id, bool force) {
  if (absl::Status status = rpc_->CheckServing(); !status.ok()) return status;
  auto pending = std::make_shared<Pending<TaskResult>>();
  rpc_->engine->Post([rpc = rpc_, id, force, setter = PendingSetter<TaskResult>(pending, Stopped())]() mutable {
    rpc->queue->Cancel(id, force, rpc->clock->NowMs(),
                       [setter = std::move(setter)](TaskResult task) mutable { setter.Set(std::move(task)); });
  });
  return pending->Wait();
}

absl::StatusOr<std::string> LocalBackend::Submit(GatewayTask task) {
  TaskSpec spec;
  spec.queue = std::move(task.queue);
  spec.payload = std::move(task.payload);
  spec.content_type = std::move(task.content_type);
  spec.idempotency_key = std::move(task.idempotency_key);
  spec.counts.push_back({std::move(task.counter), ToLabels(task.labels)});
  const absl::StatusOr<SubmitOutcome> outcome = Submit(std::move(spec));
  if (!outcome.ok()) return outcome.status();
  return FormatTaskId(outcome->id);
}

absl::Status LocalBackend::Count(const std::string& counter, const GatewayLabels&) {
  if (absl::Status status = rpc_->CheckNewWork(); !status.ok()) return status;
  auto pending = std::make_shared<Pending<absl::Status>>();
  rpc_->engine->Post([this, counter, setter = PendingSetter<absl::Status>(pending, Stopped())]() mutable {
    counter_->Count(counter, [setter = std::move(setter)](absl::Status status) mutable { setter.Set(std::move(status)); });
  });
  return pending->Wait();
}

}  // namespace wheelpit
