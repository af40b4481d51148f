#include "server/rpc/query_service.h"

#include <algorithm>
#include <utility>

#include "base/errors.h"
#include "server/promql/probe.h"
#include "server/rpc/probe.h"
#include "server/rpc/status_map.h"

namespace wheelpit {
namespace {

constexpr uint32_t kSeriesMax = 10'000;

grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, const absl::Status& status) {
  auto* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

void LabelsToProto(const Labels& labels, google::protobuf::RepeatedPtrField<v1::Label>* out) {
  for (const auto& [name, value] : labels.pairs()) {
    v1::Label* label = out->Add();
    label->set_name(name);
    label->set_value(value);
  }
}

}  // namespace

grpc::ServerUnaryReactor* QueryService::Query(grpc::CallbackServerContext* context, const v1::QueryRequest* request,
                                              v1::QueryResponse* response) {
  if (absl::Status status = rpc_->CheckServing(); !status.ok()) return Answer(context, status);
  const int64_t began_ns = rpc_->clock->MonotonicNanos();
  const int64_t now = rpc_->clock->NowMs();
  const int64_t at = request->time_at_ms() == 0 ? now : std::min(now, request->time_at_ms());
  const UnknownPolicy policy = request->unknown() == v1::UNKNOWN_POLICY_OMIT ? UnknownPolicy::kOmit : UnknownPolicy::kFail;
  const WindowEnd end = request->open_window() ? WindowEnd::kNow : WindowEnd::kWholeSecond;
  absl::StatusOr<QueryResult> result = rpc_->query->QueryAt(request->query(), at, now, policy, end);
  PromqlProbe::QuerySeconds()->Observe(RpcProbe::Seconds(began_ns, rpc_->clock->MonotonicNanos()));
  if (!result.ok()) return Answer(context, result.status());
  response->set_evaluated_at_ms(result->evaluated_at_ms);
  for (std::string& info : result->infos) response->add_infos(std::move(info));
  if (result->is_scalar) {
    response->set_scalar(result->scalar);
  } else {
    v1::Vector* vector = response->mutable_vector();
    for (const QueryElement& element : result->vector) {
      v1::VectorElement* out = vector->add_elements();
      LabelsToProto(element.labels, out->mutable_labels());
      out->set_value(element.value);
      out->set_partial(element.partial);
    }
  }
  return Answer(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* QueryService::Series(grpc::CallbackServerContext* context, const v1::SeriesRequest* request,
                                               v1::SeriesResponse* response) {
  if (absl::Status status = rpc_->CheckServing(); !status.ok()) return Answer(context, status);
  if (request->matchers().empty()) {
    return Answer(context, MakeError(absl::StatusCode::kInvalidArgument, "BAD_QUERY", "matchers: at least one is needed"));
  }
  const std::vector<std::string> selectors(request->matchers().begin(), request->matchers().end());
  bool truncated = false;
  absl::StatusOr<std::vector<Labels>> series =
      rpc_->query->Series(selectors, request->series_max() == 0 ? kSeriesMax : request->series_max(), &truncated);
  if (!series.ok()) return Answer(context, series.status());
  for (const Labels& labels : *series) LabelsToProto(labels, response->add_series()->mutable_labels());
  response->set_truncated(truncated);
  return Answer(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* QueryService::Families(grpc::CallbackServerContext* context, const v1::FamiliesRequest*,
                                                 v1::FamiliesResponse* response) {
  if (absl::Status status = rpc_->CheckServing(); !status.ok()) return Answer(context, status);
  {
    SeriesStore::ReadLock read(*rpc_->store);
    for (const FamilyEntry* entry : read.families()) {
      v1::FamilyInfo* info = response->add_families();
      info->set_name(entry->family.name);
      info->set_type(static_cast<v1::MetricType>(entry->family.type));
      info->set_help(entry->family.help);
      info->set_unit(entry->family.unit);
      info->set_series(entry->series.size());
    }
  }
  return Answer(context, absl::OkStatus());
}

}  // namespace wheelpit
