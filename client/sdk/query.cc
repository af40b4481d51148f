#include "client/sdk/query.h"

#include <utility>

#include "base/status_macros.h"
#include "client/sdk/channel.h"
#include "wheelpit/v1/query.grpc.pb.h"

namespace wheelpit {
namespace {

std::vector<LabelPair> ToPairs(const google::protobuf::RepeatedPtrField<v1::Label>& labels) {
  std::vector<LabelPair> pairs;
  pairs.reserve(labels.size());
  for (const v1::Label& label : labels) pairs.emplace_back(label.name(), label.value());
  return pairs;
}

}  // namespace

class Query::Impl {
 public:
  Impl(std::shared_ptr<grpc::Channel> channel, absl::Duration call_timeout)
      : call_timeout_(call_timeout), stub_(v1::QueryService::NewStub(std::move(channel))) {}

  absl::StatusOr<InstantAnswer> Instant(absl::string_view promql, const InstantOptions& options) {
    v1::QueryRequest request;
    request.set_query(promql.data(), promql.size());
    if (options.time != absl::InfiniteFuture()) {
      request.set_time_at_ms(absl::ToUnixMillis(options.time));
    }
    request.set_unknown(options.omit_unknown ? v1::UNKNOWN_POLICY_OMIT : v1::UNKNOWN_POLICY_FAIL);
    v1::QueryResponse response;
    grpc::ClientContext context;
    SetDeadline(&context, call_timeout_);
    WHEELPIT_RETURN_IF_ERROR(FromGrpcStatus(stub_->Query(&context, request, &response)));
    InstantAnswer answer;
    answer.evaluated_at = absl::FromUnixMillis(response.evaluated_at_ms());
    answer.infos.assign(response.infos().begin(), response.infos().end());
    answer.scalar = response.result_case() == v1::QueryResponse::kScalar;
    if (answer.scalar) {
      answer.elements.push_back({{}, response.scalar(), false});
    } else {
      for (const v1::VectorElement& e : response.vector().elements()) {
        answer.elements.push_back({ToPairs(e.labels()), e.value(), e.partial()});
      }
    }
    return answer;
  }

  absl::StatusOr<SeriesAnswer> Series(absl::Span<const std::string> selectors,
                                      uint32_t series_max) {
    v1::SeriesRequest request;
    for (const std::string& selector : selectors) request.add_matchers(selector);
    request.set_series_max(series_max);
    v1::SeriesResponse response;
    grpc::ClientContext context;
    SetDeadline(&context, call_timeout_);
    WHEELPIT_RETURN_IF_ERROR(FromGrpcStatus(stub_->Series(&context, request, &response)));
    SeriesAnswer answer;
    for (const v1::SeriesLabels& s : response.series()) {
      answer.series.push_back(ToPairs(s.labels()));
    }
    answer.truncated = response.truncated();
    return answer;
  }

 private:
  const absl::Duration call_timeout_;
  const std::unique_ptr<v1::QueryService::Stub> stub_;
};

Query::Query(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Query::~Query() = default;

absl::StatusOr<std::unique_ptr<Query>> Query::Create(ClientOptions options) {
  WHEELPIT_ASSIGN_OR_RETURN(auto channel, MakeChannel(options));
  return QueryAccess::Make(std::move(channel), options.call_timeout);
}

std::unique_ptr<Query> QueryAccess::Make(std::shared_ptr<grpc::Channel> channel,
                                         absl::Duration call_timeout) {
  return std::unique_ptr<Query>(
      new Query(std::make_unique<Query::Impl>(std::move(channel), call_timeout)));
}

absl::StatusOr<InstantAnswer> Query::Instant(absl::string_view promql,
                                             const InstantOptions& options) {
  return impl_->Instant(promql, options);
}
absl::StatusOr<SeriesAnswer> Query::Series(absl::Span<const std::string> selectors,
                                           uint32_t series_max) {
  return impl_->Series(selectors, series_max);
}

}  // namespace wheelpit
