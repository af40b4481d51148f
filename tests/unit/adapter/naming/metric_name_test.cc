#include "adapter/naming/metric_name.h"

#include <gtest/gtest.h>

namespace wheelpit::adapter {
namespace {

TEST(MetricNamerTest, DefaultsFollowTheNumberOfGroups) {
  auto none = MetricNamer::Create("", "");
  ASSERT_TRUE(none.ok());
  EXPECT_EQ((*none)->as(), "$0");
  EXPECT_EQ((*none)->Convert("queue_depth"), "queue_depth");
  auto one = MetricNamer::Create("^(.*)_total$", "");
  ASSERT_TRUE(one.ok());
  EXPECT_EQ((*one)->Convert("jobs_total"), "jobs");
  EXPECT_EQ((*one)->Convert("jobs"), std::nullopt);
  EXPECT_EQ(MetricNamer::Create("(a)(b)", "").status().message(),
            "name.matches \"(a)(b)\" has 2 groups: name.as must say which to use");
}

TEST(MetricNamerTest, NamesTheRegexThatDoesNotCompile) {
  EXPECT_EQ(MetricNamer::Create("^(.*", "$1").status().message(),
            "name.matches \"^(.*\": missing ): ^(.*");
  EXPECT_FALSE(MetricNamer::Create("a(?=b)", "").ok());  // no lookaround, as in Go
}

TEST(SeriesNameOfSelectorTest, KnowsNamesThatAreFixed) {
  const struct {
    const char* selector;
    std::optional<std::string> name;
  } kCases[] = {
      {"http_requests_total{namespace!=\"\"}", "http_requests_total"},
      {" up ", "up"},
      {"job:rate:5m", "job:rate:5m"},
      {"{__name__=\"cloud_lag\"}", "cloud_lag"},
      {"{ __name__ = 'cloud_lag' , a=\"b\"}", "cloud_lag"},
      {"{__name__=~\"^node_.*\",node!=\"\"}", std::nullopt},
      {"{__name__!=\"x\"}", std::nullopt},
      {"{a=\",__name__='x',\"}", std::nullopt},  // inside a value
      {"{a=\"b\"}", std::nullopt},
      {"sum(x)", std::nullopt},
      {"", std::nullopt},
  };
  for (const auto& c : kCases) EXPECT_EQ(SeriesNameOfSelector(c.selector), c.name) << c.selector;
}

}  // namespace
}  // namespace wheelpit::adapter
