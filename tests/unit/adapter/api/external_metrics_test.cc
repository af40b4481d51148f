#include "adapter/api/external_metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace wheelpit::adapter {
namespace {

const absl::Time kAt = absl::FromUnixMillis(1714557600999);  // 2024-05-01T10:00:00.999Z

std::string Text(const ExternalValues& values, int* dropped = nullptr) {
  return JsonText(ExternalMetricValueList(values, dropped), false);
}

TEST(ExternalMetricsTest, WritesTheListAsKubernetesDoes) {
  EXPECT_EQ(
      Text({"queue_depth", kAt, {{{{"queue", "work"}}, true, 42}}}),
      R"({"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{},"items":[)"
      R"({"metricName":"queue_depth","metricLabels":{"queue":"work"},"timestamp":"2024-05-01T10:00:00Z","value":"42"}]})"
      "\n");
}

TEST(ExternalMetricsTest, LabelsAreSortedNoneIsAnObjectAndAScalarHasNull) {
  const std::string text = Text(
      {"m", kAt, {{{{"z", "1"}, {"__name__", "m"}}, true, 0.5}, {{}, true, 0}, {{}, false, 1500}}});
  EXPECT_NE(
      text.find(
          R"("metricLabels":{"__name__":"m","z":"1"},"timestamp":"2024-05-01T10:00:00Z","value":"500m"})"),
      std::string::npos)
      << text;
  EXPECT_NE(text.find(R"("metricLabels":{},"timestamp":"2024-05-01T10:00:00Z","value":"0"})"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find(R"("metricLabels":null,"timestamp":"2024-05-01T10:00:00Z","value":"1500"})"),
            std::string::npos)
      << text;
}

TEST(ExternalMetricsTest, NothingIsAnEmptyList) {
  EXPECT_EQ(
      Text({"m", kAt, {}}),
      R"({"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{},"items":[]})"
      "\n");
}

TEST(ExternalMetricsTest, LeavesOutWhatNoQuantityMayStandFor) {
  const double inf = std::numeric_limits<double>::infinity();
  int dropped = 0;
  const std::string text = Text({"m",
                                 kAt,
                                 {{{}, true, std::nan("")},
                                  {{}, true, inf},
                                  {{}, true, -inf},
                                  {{}, true, -1},
                                  {{}, true, 7},
                                  {{}, true, -0.0001}}},
                                &dropped);
  EXPECT_EQ(dropped, 4);
  EXPECT_EQ(
      text,
      R"({"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{},"items":[)"
      R"({"metricName":"m","metricLabels":{},"timestamp":"2024-05-01T10:00:00Z","value":"7"},)"
      R"({"metricName":"m","metricLabels":{},"timestamp":"2024-05-01T10:00:00Z","value":"0"}]})"
      "\n");
}

TEST(ExternalMetricsTest, StrictlyEveryValueIsWritten) {
  const double inf = std::numeric_limits<double>::infinity();
  int dropped = 0;
  const Json list = ExternalMetricValueList(
      {"m", kAt, {{{}, true, std::nan("")}, {{}, true, inf}, {{}, true, 1e300}, {{}, true, -2.5}}},
      &dropped, UnfitValues::kAsPrometheusAdapter);
  EXPECT_EQ(dropped, 0);
  ASSERT_EQ(list["items"].size(), 4);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(list["items"][i]["value"], "-9223372036854775808m");
  EXPECT_EQ(list["items"][3]["value"], "-2500m");
}

TEST(ExternalMetricsTest, EscapesAsGoDoesAndBearsBadBytes) {
  const std::string text = Text({"a<b>&c\u2028", kAt, {{{{"l", "\xff"}}, true, 1}}});
  EXPECT_NE(text.find(R"("metricName":"a\u003cb\u003e\u0026c\u2028")"), std::string::npos) << text;
  EXPECT_NE(text.find("\"l\":\"\ufffd\""), std::string::npos) << text;
}

TEST(ExternalMetricsTest, PrettyPrintsWithTwoBlanks) {
  EXPECT_EQ(JsonText(ExternalMetricValueList({"m", kAt, {}}, nullptr), true),
            "{\n  \"kind\": \"ExternalMetricValueList\",\n  \"apiVersion\": "
            "\"external.metrics.k8s.io/v1beta1\",\n  \"metadata\": {},\n"
            "  \"items\": []\n}\n");
}

}  // namespace
}  // namespace wheelpit::adapter
