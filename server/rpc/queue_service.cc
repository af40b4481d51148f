#include "server/rpc/queue_service.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "server/queue/probe.h"
#include "server/rpc/probe.h"
#include "server/rpc/status_map.h"
#include "server/rpc/submit_stream.h"
#include "server/rpc/task_codec.h"
#include "server/rpc/work_stream.h"

namespace wheelpit {
namespace {

constexpr int kBatchMax = 1000;
constexpr size_t kSubmitBytesMax = 4 << 20;
// A lease reply stops here; the rest is given back.
constexpr size_t kLeaseBytesMax = 16 << 20;

absl::Status BadField(absl::string_view message) { return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD", message); }

absl::Status CheckBatchSize(int items) {
  if (items == 0) return MakeError(absl::StatusCode::kInvalidArgument, "EMPTY", "the batch has no items");
  if (items > kBatchMax) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BATCH_TOO_LARGE", absl::StrCat("the batch has ", items, " items, limit ", kBatchMax));
  }
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* Refuse(grpc::ServerUnaryReactor* reactor, const absl::Status& status) {
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

grpc::ServerUnaryReactor* RefuseTasks(grpc::ServerUnaryReactor* reactor, uint64_t tasks, const absl::Status& status) {
  QueueProbe::CountRejected(QueueProbe::kOther, ErrorReason(status), tasks);
  return Refuse(reactor, status);
}

// Requests live until Finish and only this handler sees them: what they own may be moved out.
template <typename Message>
Message* Mutable(const Message* request) {
  return const_cast<Message*>(request);
}

// The four batch operations on leases.
template <typename Items, typename Response, typename Method>
grpc::ServerUnaryReactor* Operate(RpcContext* rpc, grpc::ServerUnaryReactor* reactor, Items items, LeaseResults results, Response* response,
                                  Method method) {
  rpc->engine->Post([rpc, reactor, items = std::move(items), results = std::move(results), response, method]() mutable {
    if (items.empty()) {
      response->mutable_results()->Swap(&results.results());
      return reactor->Finish(grpc::Status::OK);
    }
    (rpc->queue->*method)(std::move(items), SessionId{0}, rpc->clock->NowMs(),
                          [reactor, results = std::move(results), response](std::vector<LeaseOutcome> outcomes) mutable {
                            results.Fill(outcomes);
                            response->mutable_results()->Swap(&results.results());
                            reactor->Finish(grpc::Status::OK);
                          });
  });
  return reactor;
}

}  // namespace

// A call that the queue answers when something happens. It is finished once: by the queue, or by the end of the server.
struct QueueService::Wait {
  grpc::CallbackServerContext* context = nullptr;
  grpc::ServerUnaryReactor* reactor = nullptr;
  bool finished = false;
};

QueueService::QueueService(RpcContext* rpc, StreamHub* hub) : rpc_(rpc), hub_(hub) {}
QueueService::~QueueService() = default;

void QueueService::EndWait(const std::shared_ptr<Wait>& wait, const absl::Status& status) {
  waits_.erase(wait);
  if (std::exchange(wait->finished, true)) return;
  wait->reactor->Finish(ToGrpcStatus(status));
}

void QueueService::EndWaits() {
  auto waits = std::exchange(waits_, {});
  for (const auto& wait : waits) {
    EndWait(wait, MakeError(absl::StatusCode::kUnavailable, "DRAINING", "the server is shutting down", absl::Seconds(1)));
  }
}

grpc::ServerUnaryReactor* QueueService::Submit(grpc::CallbackServerContext* context, const v1::SubmitRequest* request,
                                               v1::SubmitResponse* response) {
  auto* reactor = context->DefaultReactor();
  const int64_t began_ns = rpc_->clock->MonotonicNanos();
  if (absl::Status status = rpc_->CheckNewWork(); !status.ok()) return RefuseTasks(reactor, 1, status);
  TaskSpec spec;
  if (absl::Status status = SpecFromProto(request->task(), *rpc_->store, &spec); !status.ok()) return RefuseTasks(reactor, 1, status);
  spec.payload = std::move(*Mutable(request)->mutable_task()->mutable_payload());
  rpc_->engine->Post([rpc = rpc_, reactor, spec = std::move(spec), response, began_ns]() mutable {
    rpc->queue->Submit(std::move(spec), rpc->clock->NowMs(), [rpc, reactor, response, began_ns](absl::StatusOr<SubmitOutcome> outcome) {
      ObserveSubmit(outcome, RpcProbe::Seconds(began_ns, rpc->clock->MonotonicNanos()));
      if (outcome.ok()) {
        response->set_id(FormatTaskId(outcome->id));
        response->set_deduplicated(outcome->deduplicated);
        response->set_state(static_cast<v1::TaskState>(outcome->state));
      }
      reactor->Finish(ToGrpcStatus(outcome.status()));
    });
  });
  return reactor;
}

grpc::ServerUnaryReactor* QueueService::SubmitBatch(grpc::CallbackServerContext* context, const v1::SubmitBatchRequest* request,
                                                    v1::SubmitBatchResponse* response) {
  auto* reactor = context->DefaultReactor();
  const int64_t began_ns = rpc_->clock->MonotonicNanos();
  const auto tasks = static_cast<uint64_t>(request->tasks_size());
  if (absl::Status status = rpc_->CheckNewWork(); !status.ok()) return RefuseTasks(reactor, tasks, status);
  if (absl::Status status = CheckBatchSize(request->tasks_size()); !status.ok()) return RefuseTasks(reactor, tasks, status);
  SubmitPlan plan(rpc_->store);
  for (v1::TaskSpec& task : *Mutable(request)->mutable_tasks()) plan.Add(&task);
  if (plan.payload_bytes() > kSubmitBytesMax) {
    return RefuseTasks(reactor, tasks,
                       MakeError(absl::StatusCode::kInvalidArgument, "BATCH_TOO_LARGE",
                                 absl::StrCat("the batch has ", plan.payload_bytes(), " bytes of payload, limit ", kSubmitBytesMax)));
  }
  if (request->atomic() && !plan.first_error().ok()) return RefuseTasks(reactor, tasks, plan.first_error());
  rpc_->engine->Post([rpc = rpc_, reactor, plan = std::move(plan), atomic = request->atomic(), response, began_ns]() mutable {
    auto done = [rpc, reactor, response, began_ns](SubmitPlan& finished, absl::StatusOr<std::vector<absl::StatusOr<SubmitOutcome>>> outcomes) {
      if (!outcomes.ok()) return reactor->Finish(ToGrpcStatus(outcomes.status()));
      finished.Fill(std::move(outcomes));
      const double seconds = RpcProbe::Seconds(began_ns, rpc->clock->MonotonicNanos());
      for (const auto& outcome : finished.outcomes()) {
        ObserveSubmit(outcome, seconds);
        SubmitResultToProto(outcome, response->add_results());
      }
      reactor->Finish(grpc::Status::OK);
    };
    std::vector<TaskSpec> specs = std::move(plan.specs());
    if (specs.empty()) return done(plan, std::vector<absl::StatusOr<SubmitOutcome>>());
    rpc->queue->SubmitBatch(std::move(specs), atomic, rpc->clock->NowMs(),
                            [plan = std::move(plan), done](absl::StatusOr<std::vector<absl::StatusOr<SubmitOutcome>>> outcomes) mutable {
                              done(plan, std::move(outcomes));
                            });
  });
  return reactor;
}

grpc::ServerBidiReactor<v1::SubmitStreamRequest, v1::SubmitStreamResponse>* QueueService::SubmitStream(grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<wheelpit::SubmitStream>(rpc_, hub_, context);
  absl::Status status = rpc_->CheckNewWork();
  status.ok() ? stream->Begin() : stream->Refuse(status);
  return stream.get();
}

grpc::ServerBidiReactor<v1::WorkRequest, v1::WorkResponse>* QueueService::Work(grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<WorkStream>(rpc_, hub_, context);
  // A draining server takes workers back that still hold leases: their completions go on.
  absl::Status status = rpc_->CheckServing();
  status.ok() ? stream->Begin() : stream->Refuse(status);
  return stream.get();
}

grpc::ServerUnaryReactor* QueueService::LeaseTasks(grpc::CallbackServerContext* context, const v1::LeaseTasksRequest* request,
                                                   v1::LeaseTasksResponse* response) {
  auto* reactor = context->DefaultReactor();
  if (absl::Status status = rpc_->CheckNewWork(); !status.ok()) return Refuse(reactor, status);
  absl::StatusOr<std::vector<QueueWeight>> queues = QueuesFromProto(request->queues());
  if (!queues.ok()) return Refuse(reactor, queues.status());
  if (request->tasks_max() < 1 || request->tasks_max() > 256) return Refuse(reactor, BadField("tasks_max: must be 1..256"));
  if (request->wait_ms() < 0 || request->wait_ms() > 60'000) return Refuse(reactor, BadField("wait_ms: must be 0..60000"));
  rpc_->engine->Post([this, context, reactor, request, response, queues = *std::move(queues)]() mutable {
    auto wait = std::make_shared<Wait>();
    wait->context = context;
    wait->reactor = reactor;
    waits_.insert(wait);
    rpc_->queue->LeaseTasks(
        request->worker_id(), std::move(queues), request->tasks_max(), request->wait_ms(), rpc_->clock->NowMs(),
        [this, wait, response](absl::StatusOr<std::vector<Assignment>> leases) {
          if (!leases.ok()) return EndWait(wait, leases.status());
          // Nobody hears of what is given to a caller that has gone: it goes back at once instead of after its lease.
          const bool gone = wait->finished || wait->context->IsCancelled();
          std::vector<LeaseRef> back;
          size_t bytes = 0;
          for (Assignment& lease : *leases) {
            if (gone || (bytes > 0 && bytes + lease.task.payload.size() > kLeaseBytesMax)) {
              back.push_back({lease.task.id, lease.token});
            } else {
              bytes += lease.task.payload.size();
              AssignmentToProto(std::move(lease), response->add_assignments());
            }
          }
          EndWait(wait, absl::OkStatus());
          if (back.empty()) return;
          rpc_->engine->Post([rpc = rpc_, back = std::move(back)]() mutable {
            rpc->queue->Release(std::move(back), SessionId{0}, rpc->clock->NowMs(), [](std::vector<LeaseOutcome>) {});
          });
        });
  });
  return reactor;
}

grpc::ServerUnaryReactor* QueueService::CompleteTasks(grpc::CallbackServerContext* context, const v1::CompleteTasksRequest* request,
                                                      v1::CompleteTasksResponse* response) {
  auto* reactor = context->DefaultReactor();
  if (absl::Status status = rpc_->CheckServing(); !status.ok()) return Refuse(reactor, status);
  if (absl::Status status = CheckBatchSize(request->completions_size()); !status.ok()) return Refuse(reactor, status);
  LeaseResults results(v1::LEASE_OPERATION_COMPLETE);
  auto items = CompletionsFromProto(Mutable(request)->mutable_completions(), &results);
  return Operate(rpc_, reactor, std::move(items), std::move(results), response, &WorkQueue::Complete);
}

grpc::ServerUnaryReactor* QueueService::FailTasks(grpc::CallbackServerContext* context, const v1::FailTasksRequest* request,
                                                  v1::FailTasksResponse* response) {
  auto* reactor = context->DefaultReactor();
  if (absl::Status status = rpc_->CheckServing(); !status.ok()) return Refuse(reactor, status);
  if (absl::Status status = CheckBatchSize(request->failures_size()); !status.ok()) return Refuse(reactor, status);
  LeaseResults results(v1::LEASE_OPERATION_FAIL);
  auto items = FailuresFromProto(Mutable(request)->mutable_failures(), &results);
  return Operate(rpc_, reactor, std::move(items), std::move(results), response, &WorkQueue::Fail);
}

grpc::ServerUnaryReactor* QueueService::ExtendLeases(grpc::CallbackServerContext* context, const v1::ExtendLeasesRequest* request,
                                                     v1::ExtendLeasesResponse* response) {
  auto* reactor = context->DefaultReactor();
  if (absl::Status status = rpc_->CheckServing(); !status.ok()) return Refuse(reactor, status);
  if (absl::Status status = CheckBatchSize(request->extensions_size()); !status.ok()) return Refuse(reactor, status);
  LeaseResults results(v1::LEASE_OPERATION_EXTEND);
  auto items = ExtensionsFromProto(request->extensions(), &results);
  return Operate(rpc_, reactor, std::move(items), std::move(results), response, &WorkQueue::Extend);
}

grpc::ServerUnaryReactor* QueueService::ReleaseTasks(grpc::CallbackServerContext* context, const v1::ReleaseTasksRequest* request,
                                                     v1::ReleaseTasksResponse* response) {
  auto* reactor = context->DefaultReactor();
  if (absl::Status status = rpc_->CheckServing(); !status.ok()) return Refuse(reactor, status);
  if (absl::Status status = CheckBatchSize(request->leases_size()); !status.ok()) return Refuse(reactor, status);
  LeaseResults results(v1::LEASE_OPERATION_RELEASE);
  auto items = LeasesFromProto(request->leases(), &results);
  return Operate(rpc_, reactor, std::move(items), std::move(results), response, &WorkQueue::Release);
}

grpc::ServerUnaryReactor* QueueService::GetTask(grpc::CallbackServerContext* context, const v1::GetTaskRequest* request, v1::Task* response) {
  auto* reactor = context->DefaultReactor();
  if (absl::Status status = rpc_->CheckServing(); !status.ok()) return Refuse(reactor, status);
  absl::StatusOr<TaskId> id = ParseTaskId(request->id());
  if (!id.ok()) return Refuse(reactor, id.status());
  rpc_->engine->Post([rpc = rpc_, reactor, id = *id, request, response] {
    WorkQueue::ViewOptions options;
    options.payload = request->with_payload();
    options.result = request->with_result();
    absl::StatusOr<TaskView> view = rpc->queue->GetTask(id, options, rpc->clock->NowMs());
    if (view.ok()) ViewToProto(*std::move(view), response);
    reactor->Finish(ToGrpcStatus(view.status()));
  });
  return reactor;
}

grpc::ServerUnaryReactor* QueueService::WaitTask(grpc::CallbackServerContext* context, const v1::WaitTaskRequest* request, v1::Task* response) {
  auto* reactor = context->DefaultReactor();
  if (absl::Status status = rpc_->CheckServing(); !status.ok()) return Refuse(reactor, status);
  absl::StatusOr<TaskId> id = ParseTaskId(request->id());
  if (!id.ok()) return Refuse(reactor, id.status());
  if (request->timeout_ms() < 0 || request->timeout_ms() > 600'000) return Refuse(reactor, BadField("timeout_ms: must be 0..600000"));
  rpc_->engine->Post([this, context, reactor, id = *id, request, response] {
    auto wait = std::make_shared<Wait>();
    wait->context = context;
    wait->reactor = reactor;
    waits_.insert(wait);
    WorkQueue::ViewOptions options;
    options.result = request->with_result();
    rpc_->queue->WaitTask(id, request->timeout_ms(), options, rpc_->clock->NowMs(), [this, wait, response](absl::StatusOr<TaskView> view) {
      if (view.ok() && !wait->finished) ViewToProto(*std::move(view), response);
      EndWait(wait, view.status());
    });
  });
  return reactor;
}

grpc::ServerUnaryReactor* QueueService::ListTasks(grpc::CallbackServerContext* context, const v1::ListTasksRequest* request,
                                                  v1::ListTasksResponse* response) {
  auto* reactor = context->DefaultReactor();
  if (absl::Status status = rpc_->CheckServing(); !status.ok()) return Refuse(reactor, status);
  TaskListQuery query;
  query.queue = request->queue();
  if (request->page_size() > 1000) return Refuse(reactor, BadField("page_size: must be 1..1000"));
  query.tasks_max = request->page_size() == 0 ? 100 : request->page_size();
  for (const int state : request->states()) {
    if (state <= 0 || state >= kTaskStates) return Refuse(reactor, BadField(absl::StrCat("states: unknown state ", state)));
    query.states.push_back(static_cast<TaskState>(state));
  }
  if (!request->cursor().empty()) {
    absl::StatusOr<TaskId> after = ParseTaskId(request->cursor());
    if (!after.ok()) return Refuse(reactor, BadField("cursor: must be what the previous page gave"));
    query.after = *after;
  }
  rpc_->engine->Post([rpc = rpc_, reactor, query = std::move(query), response] {
    absl::StatusOr<std::vector<TaskView>> page = rpc->queue->ListTasks(query, rpc->clock->NowMs());
    if (page.ok()) {
      if (page->size() == query.tasks_max) response->set_next_cursor(FormatTaskId(page->back().id));
      for (TaskView& view : *page) ViewToProto(std::move(view), response->add_tasks());
    }
    reactor->Finish(ToGrpcStatus(page.status()));
  });
  return reactor;
}

grpc::ServerUnaryReactor* QueueService::CancelTask(grpc::CallbackServerContext* context, const v1::CancelTaskRequest* request,
                                                   v1::Task* response) {
  auto* reactor = context->DefaultReactor();
  if (absl::Status status = rpc_->CheckServing(); !status.ok()) return Refuse(reactor, status);
  absl::StatusOr<TaskId> id = ParseTaskId(request->id());
  if (!id.ok()) return Refuse(reactor, id.status());
  rpc_->engine->Post([rpc = rpc_, reactor, id = *id, force = request->force(), response] {
    rpc->queue->Cancel(id, force, rpc->clock->NowMs(), [reactor, response](absl::StatusOr<TaskView> view) {
      if (view.ok()) ViewToProto(*std::move(view), response);
      reactor->Finish(ToGrpcStatus(view.status()));
    });
  });
  return reactor;
}

}  // namespace wheelpit
