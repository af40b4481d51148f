#include "adapter/source/aggregator_source.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/errors.h"
#include "tests/support/fake_query_service.h"

namespace wheelpit::adapter {
namespace {

class AggregatorSourceTest : public ::testing::Test {
 protected:
  FakeQueryService service_;
  std::unique_ptr<MetricSource> source_ = NewAggregatorSource(service_.InProcessChannel());
};

TEST_F(AggregatorSourceTest, CarriesVectorsOver) {
  v1::QueryResponse response;
  response.set_evaluated_at_ms(1714557600123);
  v1::VectorElement* element = response.mutable_vector()->add_elements();
  element->set_value(42.5);
  v1::Label* label = element->add_labels();
  label->set_name("queue");
  label->set_value("work");
  response.mutable_vector()->add_elements()->set_value(std::nan(""));
  service_.SetQuery("sum(x)", response);
  const auto result = source_->Query("sum(x)", absl::InfinitePast(), absl::Seconds(30));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->is_scalar);
  EXPECT_EQ(result->evaluated_at, absl::FromUnixMillis(1714557600123));
  ASSERT_EQ(result->elements.size(), 2);
  EXPECT_EQ(result->elements[0].labels, (SourceLabels{{"queue", "work"}}));
  EXPECT_EQ(result->elements[0].value, 42.5);
  EXPECT_TRUE(std::isnan(result->elements[1].value));
  EXPECT_EQ(service_.last_query().time_at_ms(), 0);
  EXPECT_EQ(service_.last_query().unknown(), v1::UNKNOWN_POLICY_FAIL);
  EXPECT_TRUE(service_.last_query().open_window());
  ASSERT_TRUE(source_->Query("sum(x)", absl::FromUnixMillis(77), absl::Seconds(30)).ok());
  EXPECT_EQ(service_.last_query().time_at_ms(), 77);
}

TEST_F(AggregatorSourceTest, TellsScalarsFromVectors) {
  v1::QueryResponse response;
  response.set_scalar(3);
  service_.SetQuery("3", response);
  const auto result = source_->Query("3", absl::InfinitePast(), absl::Seconds(30));
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(result->is_scalar);
  EXPECT_EQ(result->elements.at(0).value, 3);
  service_.SetQuery("nothing", v1::QueryResponse());
  EXPECT_EQ(
      ErrorReason(source_->Query("nothing", absl::InfinitePast(), absl::Seconds(30)).status()),
      kReasonBadAnswer);
}

TEST_F(AggregatorSourceTest, AbsentIsEmptyAndUnknownIsAnError) {
  v1::QueryResponse empty;
  empty.mutable_vector();
  service_.SetQuery("absent", empty);
  const auto absent = source_->Query("absent", absl::InfinitePast(), absl::Seconds(30));
  ASSERT_TRUE(absent.ok());
  EXPECT_TRUE(absent->elements.empty());

  const struct {
    grpc::StatusCode code;
    const char* service_reason;
    absl::StatusCode want;
    const char* reason;
  } kCases[] = {
      {grpc::StatusCode::UNAVAILABLE, "UNKNOWN", absl::StatusCode::kUnavailable, kReasonUnknown},
      {grpc::StatusCode::UNAVAILABLE, "STARTING", absl::StatusCode::kUnavailable, "STARTING"},
      {grpc::StatusCode::UNAVAILABLE, "", absl::StatusCode::kUnavailable, kReasonUnreachable},
      {grpc::StatusCode::INVALID_ARGUMENT, "BAD_QUERY", absl::StatusCode::kInvalidArgument,
       kReasonBadQuery},
      {grpc::StatusCode::INVALID_ARGUMENT, "", absl::StatusCode::kInvalidArgument, kReasonBadQuery},
      {grpc::StatusCode::FAILED_PRECONDITION, "", absl::StatusCode::kFailedPrecondition,
       kReasonExecution},
      {grpc::StatusCode::DEADLINE_EXCEEDED, "", absl::StatusCode::kDeadlineExceeded,
       kReasonTimeout},
      {grpc::StatusCode::PERMISSION_DENIED, "", absl::StatusCode::kPermissionDenied,
       kReasonUnauthorized},
      {grpc::StatusCode::INTERNAL, "", absl::StatusCode::kInternal, kReasonBadAnswer},
  };
  for (const auto& c : kCases) {
    service_.SetQueryError("q", FakeQueryService::MakeStatus(c.code, c.service_reason, "why"));
    const absl::Status status =
        source_->Query("q", absl::InfinitePast(), absl::Seconds(30)).status();
    EXPECT_EQ(status.code(), c.want) << c.reason;
    EXPECT_EQ(ErrorReason(status), c.reason);
  }
}

TEST_F(AggregatorSourceTest, AsksForSeries) {
  v1::SeriesResponse response;
  v1::Label* label = response.add_series()->add_labels();
  label->set_name("__name__");
  label->set_value("jobs_total");
  response.set_truncated(true);
  service_.SetSeries(response);
  const auto series = source_->Series({"jobs_total", "{a=\"b\"}"}, absl::Seconds(30));
  ASSERT_TRUE(series.ok()) << series.status();
  EXPECT_TRUE(series->truncated);
  EXPECT_EQ(series->series.at(0), (SourceLabels{{"__name__", "jobs_total"}}));
  EXPECT_EQ(service_.last_series().matchers_size(), 2);
  EXPECT_EQ(service_.last_series().matchers(1), "{a=\"b\"}");
  EXPECT_EQ(service_.last_series().series_max(), kSeriesMax);
}

TEST_F(AggregatorSourceTest, AServerThatIsGoneIsUnreachable) {
  const auto source = NewAggregatorSource(service_.NetworkChannel());
  EXPECT_EQ(ErrorReason(source->Query("q", absl::InfinitePast(), absl::Seconds(30)).status()),
            kReasonBadQuery);
  service_.Stop();
  const absl::Status status = source->Query("q", absl::InfinitePast(), absl::Seconds(30)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrorReason(status), kReasonUnreachable);
}

TEST_F(AggregatorSourceTest, AnAnswerThatDoesNotComeIsATimeout) {
  service_.HoldQueries();
  const absl::Status status =
      source_->Query("q", absl::InfinitePast(), absl::Milliseconds(50)).status();
  service_.ReleaseQueries();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ErrorReason(status), kReasonTimeout);
}

}  // namespace
}  // namespace wheelpit::adapter
