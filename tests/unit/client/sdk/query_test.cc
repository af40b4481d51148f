#include "client/sdk/query.h"

#include <gtest/gtest.h>

#include "client/sdk/reporter.h"
#include "tests/support/fake_aggregator.h"

namespace wheelpit {
namespace {

TEST(QueryTest, InstantGivesLabelsAndValues) {
  FakeAggregator server;
  ReporterOptions options;
  options.client.address = server.address();
  options.pod_labels = false;
  auto reporter = Reporter::Create(options).value();
  Reporter::SeriesSpec spec;
  spec.name = "jobs_total";
  reporter->AddCounter(spec)->Increment(12);
  ASSERT_TRUE(reporter->Flush(absl::Seconds(30)).ok());

  auto query = Query::Create(options.client).value();
  const auto answer = query->Instant("jobs_total");
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_EQ(answer->elements.size(), 1);
  EXPECT_EQ(answer->elements[0].value, 12);
  EXPECT_EQ(answer->elements[0].labels[0], LabelPair("__name__", "jobs_total"));
  EXPECT_EQ(absl::ToUnixMillis(answer->evaluated_at), 1'700'000'000'000);
}

TEST(QueryTest, AbsentIsEmptyAndABadQueryHasItsReason) {
  FakeAggregator server;
  ClientOptions options;
  options.address = server.address();
  auto query = Query::Create(options).value();
  EXPECT_TRUE(query->Instant("nothing_total")->elements.empty());
  const auto bad = query->Instant("sum(");
  EXPECT_EQ(bad.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(StatusReason(bad.status()), "BAD_QUERY");
}

TEST(QueryTest, NoServerIsUnavailable) {
  ClientOptions options;
  options.address = "127.0.0.1:1";
  auto query = Query::Create(options).value();
  EXPECT_EQ(query->Instant("x").status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace wheelpit
