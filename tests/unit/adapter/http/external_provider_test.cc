#include "adapter/http/external_provider.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapter/rules/rule_config.h"
#include "base/errors.h"
#include "tests/support/fake_metric_source.h"

namespace wheelpit::adapter {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1000);
constexpr char kQuery[] = "sum(queue_depth{queue=\"work\",namespace=\"shop\"})";

class ExternalProviderTest : public ::testing::Test {
 protected:
  ExternalProviderTest() {
    auto set = ParseRuleConfig(
        "externalRules:\n- {seriesQuery: queue_depth, metricsQuery: "
        "'sum(<<.Series>>{<<.LabelMatchers>>})'}\n");
    auto made = Registry::Create({&source_, nullptr}, set->external_rules, {});
    registry_ = *std::move(made);
    source_.SetSeries("queue_depth", {{{"__name__", "queue_depth"}}});
  }
  std::variant<ExternalValues, ApiStatus> Ask(absl::string_view metric, absl::string_view selector,
                                              absl::Duration asked = absl::InfiniteDuration()) {
    return ExternalProvider(registry_.get())
        .Values(metric, "shop", *ParseSelector(selector), kNow, absl::Seconds(3), asked);
  }
  ApiStatus Error(absl::string_view metric, absl::string_view selector,
                  absl::Duration asked = absl::InfiniteDuration()) {
    return std::get<ApiStatus>(Ask(metric, selector, asked));
  }

  FakeMetricSource source_;
  std::unique_ptr<Registry> registry_;
};

TEST_F(ExternalProviderTest, AnswersUnderTheNameThatWasAsked) {
  source_.SetValues(kQuery, {{{{"queue", "work"}}, 42}});
  const ExternalValues values = std::get<ExternalValues>(Ask("Queue_Depth", "queue=work"));
  EXPECT_EQ(values.metric, "Queue_Depth");
  EXPECT_EQ(values.evaluated_at, absl::FromUnixSeconds(1714557600));
  ASSERT_EQ(values.values.size(), 1);
  EXPECT_EQ(values.values[0].value, 42);
  EXPECT_TRUE(values.values[0].has_labels);
  EXPECT_EQ(source_.last_timeout(), absl::Seconds(3));
}

TEST_F(ExternalProviderTest, AScalarHasNoLabels) {
  source_.SetScalar(kQuery, 3);
  EXPECT_FALSE(std::get<ExternalValues>(Ask("queue_depth", "queue=work")).values.at(0).has_labels);
}

TEST_F(ExternalProviderTest, AnEmptyResultIsAnAnswer) {
  source_.SetValues(kQuery, {});
  EXPECT_TRUE(std::get<ExternalValues>(Ask("queue_depth", "queue=work")).values.empty());
}

TEST_F(ExternalProviderTest, EachFailureHasItsCodeAndCause) {
  EXPECT_EQ(Error("other", "").code, 404);

  source_.SetQueryError(kQuery, MakeError(absl::StatusCode::kUnavailable, kReasonUnknown,
                                          "every reporter of queue_depth is silent"));
  EXPECT_EQ(Error("queue_depth", "queue=work").message,
            "Internal error occurred: unable to fetch metric queue_depth (rule externalRules[0] "
            "(line 2)): UNKNOWN: every reporter of "
            "queue_depth is silent");
  EXPECT_EQ(Error("queue_depth", "queue=work").code, 500);

  EXPECT_EQ(Error("queue_depth", "queue>5").message,
            "Internal error occurred: unable to fetch metric queue_depth (rule externalRules[0] "
            "(line 2)): label selector queue>5: PromQL "
            "has no such matcher; use =, !=, in or notin");

  source_.SetQueryError(kQuery,
                        MakeError(absl::StatusCode::kDeadlineExceeded, kReasonTimeout, "too slow"));
  EXPECT_EQ(Error("queue_depth", "queue=work").code, 500);
  EXPECT_THAT(Error("queue_depth", "queue=work").message, HasSubstr("TIMEOUT: too slow"));
  // Only who asked for less time hears of that.
  EXPECT_EQ(Error("queue_depth", "queue=work", absl::Seconds(2)).code, 504);
  EXPECT_EQ(source_.last_timeout(), absl::Seconds(2));
  EXPECT_EQ(Error("queue_depth", "queue=work", absl::Seconds(4)).code, 500);
}

TEST_F(ExternalProviderTest, ASourceThatCannotBeAskedIsNoAbsentMetric) {
  source_.SetSeriesError("queue_depth",
                         MakeError(absl::StatusCode::kUnavailable, kReasonUnreachable,
                                   "aggregator: connection refused"));
  EXPECT_EQ(Error("queue_depth", "").message,
            "Internal error occurred: unable to fetch metric queue_depth: UNREACHABLE: rule "
            "externalRules[0] (line 2): aggregator: "
            "connection refused");
}

}  // namespace
}  // namespace wheelpit::adapter
