#include "adapter/source/aggregator_source.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/status.h"
#include "wheelpit/v1/query.grpc.pb.h"

namespace wheelpit::adapter {
namespace {

// The reason that the service gave, or "".
std::string ServiceReason(const grpc::Status& status) {
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return "";
  for (const google::protobuf::Any& any : details.details()) {
    google::rpc::ErrorInfo info;
    if (any.UnpackTo(&info)) return info.reason();
  }
  return "";
}

absl::Status FromGrpc(const grpc::Status& status) {
  const std::string reason = ServiceReason(status);
  const auto error = [&](absl::StatusCode code, absl::string_view fallback) {
    return MakeError(code, reason.empty() ? fallback : absl::string_view(reason),
                     absl::StrCat("aggregator: ", status.error_message()));
  };
  switch (status.error_code()) {
    case grpc::StatusCode::INVALID_ARGUMENT:
      return error(absl::StatusCode::kInvalidArgument, kReasonBadQuery);
    case grpc::StatusCode::FAILED_PRECONDITION:
      return error(absl::StatusCode::kFailedPrecondition, kReasonExecution);
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return MakeError(absl::StatusCode::kDeadlineExceeded, kReasonTimeout,
                       "aggregator: no answer in time");
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
      return error(absl::StatusCode::kPermissionDenied, kReasonUnauthorized);
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      // STARTING, DRAINING and UNKNOWN are the aggregator's own words; without any the transport
      // speaks.
      return error(absl::StatusCode::kUnavailable, kReasonUnreachable);
    default:
      return error(absl::StatusCode::kInternal, kReasonBadAnswer);
  }
}

SourceLabels FromProto(const google::protobuf::RepeatedPtrField<v1::Label>& labels) {
  SourceLabels out;
  for (const v1::Label& label : labels) out.emplace(label.name(), label.value());
  return out;
}

class AggregatorSource final : public MetricSource {
 public:
  explicit AggregatorSource(std::shared_ptr<grpc::Channel> channel)
      : stub_(v1::QueryService::NewStub(std::move(channel))) {}

  absl::string_view name() const override { return "aggregator"; }
  absl::Duration timeout_max() const override { return absl::Seconds(1); }

  absl::StatusOr<SourceResult> Query(absl::string_view promql, absl::Time time,
                                     absl::Duration timeout) override {
    v1::QueryRequest request;
    request.set_query(promql.data(), promql.size());
    if (time != absl::InfinitePast()) request.set_time_at_ms(absl::ToUnixMillis(time));
    request.set_unknown(v1::UNKNOWN_POLICY_FAIL);
    // An autoscaler is to see a change of load at once, not at the end of its second.
    request.set_open_window(true);
    v1::QueryResponse response;
    grpc::ClientContext context;
    SetDeadline(timeout, &context);
    if (const grpc::Status status = stub_->Query(&context, request, &response); !status.ok())
      return FromGrpc(status);
    SourceResult result;
    result.evaluated_at = absl::FromUnixMillis(response.evaluated_at_ms());
    switch (response.result_case()) {
      case v1::QueryResponse::kScalar:
        result.is_scalar = true;
        result.elements.push_back({{}, response.scalar()});
        break;
      case v1::QueryResponse::kVector:
        for (const v1::VectorElement& element : response.vector().elements()) {
          result.elements.push_back({FromProto(element.labels()), element.value()});
        }
        break;
      case v1::QueryResponse::RESULT_NOT_SET:
        return MakeError(absl::StatusCode::kInternal, kReasonBadAnswer,
                         "aggregator: an answer without a result");
    }
    return result;
  }

  absl::StatusOr<SourceSeries> Series(const std::vector<std::string>& selectors,
                                      absl::Duration timeout) override {
    v1::SeriesRequest request;
    for (const std::string& selector : selectors) request.add_matchers(selector);
    request.set_series_max(kSeriesMax);
    v1::SeriesResponse response;
    grpc::ClientContext context;
    SetDeadline(timeout, &context);
    if (const grpc::Status status = stub_->Series(&context, request, &response); !status.ok())
      return FromGrpc(status);
    SourceSeries result;
    result.truncated = response.truncated();
    for (const v1::SeriesLabels& series : response.series())
      result.series.push_back(FromProto(series.labels()));
    return result;
  }

 private:
  static void SetDeadline(absl::Duration timeout, grpc::ClientContext* context) {
    // gRPC reads its own monotonic clock for a relative deadline.
    context->set_deadline(
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                     gpr_time_from_nanos(absl::ToInt64Nanoseconds(timeout), GPR_TIMESPAN)));
  }

  const std::unique_ptr<v1::QueryService::Stub> stub_;
};

}  // namespace

std::unique_ptr<MetricSource> NewAggregatorSource(std::shared_ptr<grpc::Channel> channel) {
  return std::make_unique<AggregatorSource>(std::move(channel));
}

}  // namespace wheelpit::adapter
