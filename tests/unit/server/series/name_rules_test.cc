#include "server/series/name_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace wheelpit {
namespace {

TEST(NameRulesTest, Utf8IsStrict) {
  for (const absl::string_view good : {"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8e\xa1", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsValidUtf8(good)) << good;
  }
  EXPECT_TRUE(IsValidUtf8(absl::string_view("a\0b", 3)));
  for (const absl::string_view bad : {"\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
                                      "a\xff", "\xe2\x82", "\xf0\x8f\xbf\xbf"}) {
    EXPECT_FALSE(IsValidUtf8(bad)) << bad;
  }
}

TEST(NameRulesTest, LegacyNames) {
  EXPECT_TRUE(IsLegacyMetricName("a:b_9"));
  EXPECT_FALSE(IsLegacyMetricName("9a"));
  EXPECT_FALSE(IsLegacyMetricName("a.b"));
  EXPECT_FALSE(IsLegacyMetricName(""));
  EXPECT_TRUE(IsLegacyLabelName("_x9"));
  EXPECT_FALSE(IsLegacyLabelName("a:b"));
}

TEST(NameRulesTest, LinesOfAFamilyOccupyNames) {
  EXPECT_THAT(OccupiedNames("x_total", MetricType::kCounter), testing::ElementsAre("x", "x_created"));
  EXPECT_THAT(OccupiedNames("x", MetricType::kCounter), testing::IsEmpty());
  EXPECT_THAT(OccupiedNames("x", MetricType::kHistogram), testing::ElementsAre("x_bucket", "x_sum", "x_count", "x_created"));
  EXPECT_THAT(OccupiedNames("x", MetricType::kSummary), testing::ElementsAre("x_sum", "x_count", "x_created"));
  EXPECT_THAT(OccupiedNames("x", MetricType::kGauge), testing::IsEmpty());
}

}  // namespace
}  // namespace wheelpit
