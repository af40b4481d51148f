#include "server/rpc/admin_service.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "server/rpc/status_map.h"
#include "server/rpc/task_codec.h"

namespace wheelpit {
namespace {

using RateByQueue = absl::flat_hash_map<std::string, double>;

// Rates by queue from the journaled counters; none where they are not known.
RateByQueue Rates(const RpcContext& rpc, absl::string_view family, int64_t now) {
  RateByQueue rates;
  const auto result =
      rpc.query->Query(absl::StrCat("sum by (queue) (rate(", family, "[10s]))"), now, UnknownPolicy::kOmit);
  if (!result.ok()) return rates;
  for (const QueryElement& element : result->vector) rates[std::string(element.labels.Get("queue"))] = element.value;
  return rates;
}

void AddRates(const RpcContext& rpc, int64_t now, google::protobuf::RepeatedPtrField<v1::QueueInfo>* queues) {
  const RateByQueue submitted = Rates(rpc, "wheelpit_tasks_submitted_total", now);
  const RateByQueue completed = Rates(rpc, "wheelpit_tasks_completed_total", now);
  for (v1::QueueInfo& info : *queues) {
    if (auto it = submitted.find(info.name()); it != submitted.end()) info.set_submit_rate_per_second(it->second);
    if (auto it = completed.find(info.name()); it != completed.end()) info.set_completion_rate_per_second(it->second);
  }
}

// Engine thread.
absl::Status DescribeQueue(const RpcContext& rpc, const std::string& name, v1::QueueInfo* out) {
  const int64_t now = rpc.clock->NowMs();
  for (const QueueStats& stats : rpc.queue->ComputeStats(now).queues) {
    if (stats.name != name) continue;
    google::protobuf::RepeatedPtrField<v1::QueueInfo> one;
    QueueInfoToProto(stats, one.Add());
    AddRates(rpc, now, &one);
    out->Swap(one.Mutable(0));
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kNotFound, "QUEUE", absl::StrCat("queue ", Quoted(name), " does not exist"));
}

}  // namespace

grpc::ServerUnaryReactor* AdminService::PutQueue(grpc::CallbackServerContext* context, const v1::PutQueueRequest* request,
                                                 v1::QueueInfo* response) {
  auto* reactor = context->DefaultReactor();
  absl::Status status = rpc_->CheckNewWork();
  std::optional<QueueConfig> config;
  std::optional<QueueFlags> flags;
  if (status.ok() && request->has_config()) {
    absl::StatusOr<QueueConfig> parsed = ConfigFromProto(request->config(), rpc_->queue_options.queue_defaults);
    if (parsed.ok()) config = *parsed;
    status = parsed.status();
  }
  if (status.ok() && request->has_flags()) {
    absl::StatusOr<QueueFlags> parsed = FlagsFromProto(request->flags());
    if (parsed.ok()) flags = *parsed;
    status = parsed.status();
  }
  if (!status.ok()) {
    reactor->Finish(ToGrpcStatus(status));
    return reactor;
  }
  rpc_->engine->Post([rpc = rpc_, reactor, name = request->name(), config, flags, response] {
    rpc->queue->PutQueue(name, config, flags, rpc->clock->NowMs(), [rpc, reactor, name, response](absl::Status put) {
      if (put.ok()) put = DescribeQueue(*rpc, name, response);
      reactor->Finish(ToGrpcStatus(put));
    });
  });
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::GetQueue(grpc::CallbackServerContext* context, const v1::GetQueueRequest* request,
                                                 v1::QueueInfo* response) {
  auto* reactor = context->DefaultReactor();
  if (absl::Status status = rpc_->CheckServing(); !status.ok()) {
    reactor->Finish(ToGrpcStatus(status));
    return reactor;
  }
  rpc_->engine->Post([rpc = rpc_, reactor, name = request->name(), response] {
    reactor->Finish(ToGrpcStatus(DescribeQueue(*rpc, name, response)));
  });
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::ListQueues(grpc::CallbackServerContext* context, const v1::ListQueuesRequest*,
                                                   v1::ListQueuesResponse* response) {
  auto* reactor = context->DefaultReactor();
  if (absl::Status status = rpc_->CheckServing(); !status.ok()) {
    reactor->Finish(ToGrpcStatus(status));
    return reactor;
  }
  rpc_->engine->Post([rpc = rpc_, reactor, response] {
    const int64_t now = rpc->clock->NowMs();
    for (const QueueStats& stats : rpc->queue->ComputeStats(now).queues) QueueInfoToProto(stats, response->add_queues());
    AddRates(*rpc, now, response->mutable_queues());
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::GetServerInfo(grpc::CallbackServerContext* context, const v1::GetServerInfoRequest*,
                                                      v1::ServerInfo* response) {
  const ServerFacts facts = rpc_->facts ? rpc_->facts() : ServerFacts();
  const absl::Status work = rpc_->CheckNewWork();
  response->set_version(rpc_->version);
  response->set_history_id(facts.history_id);
  response->set_epoch(facts.epoch);
  response->set_ready(work.ok());
  if (!work.ok()) response->set_not_ready_reason(facts.failure.empty() ? std::string(work.message()) : facts.failure);
  response->set_recovery_progress(facts.recovery_progress);
  response->set_now_at_ms(rpc_->clock->NowMs());
  response->set_journal_engine(std::string(rpc_->journal->engine()));
  response->set_journal_durability(std::string(rpc_->journal->durability()));
  auto* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace wheelpit
