#include "base/metrics.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace wheelpit {
namespace {

using ::testing::ElementsAre;

TEST(HistogramTest, ValueOnABoundBelongsBelowIt) {
  Histogram h({1, 2, 4});
  for (double v : {0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 4.5, 1e9}) h.Observe(v);
  EXPECT_THAT(h.counts(), ElementsAre(2u, 2u, 2u, 2u));
  EXPECT_DOUBLE_EQ(h.sum(), 0.5 + 1 + 1.5 + 2 + 3 + 4 + 4.5 + 1e9);
}

TEST(HistogramTest, NoBoundsIsOneBucket) {
  Histogram h({});
  h.Observe(-1);
  EXPECT_THAT(h.counts(), ElementsAre(1u));
}

TEST(HistogramDeathTest, BoundsMustRise) { EXPECT_DEATH(Histogram({1, 1}), "check failed"); }

TEST(LatencyBoundsTest, FromAMillisecondToAnHour) {
  const std::vector<double> bounds = LatencyBounds();
  EXPECT_EQ(bounds.front(), 0.001);
  EXPECT_EQ(bounds[1], 0.002);
  EXPECT_EQ(bounds.back(), 3600);
  for (size_t i = 1; i < bounds.size(); ++i) EXPECT_LT(bounds[i - 1], bounds[i]);
}

TEST(MetricRegistryTest, SameNameAndLabelsIsTheSameCell) {
  MetricRegistry registry;
  Counter* a = registry.AddCounter("x_total", "X.", {{"queue", "a"}});
  Counter* b = registry.AddCounter("x_total", "X.", {{"queue", "b"}});
  EXPECT_NE(a, b);
  EXPECT_EQ(registry.AddCounter("x_total", "X.", {{"queue", "a"}}), a);
  a->Add();
  a->Add(4);
  EXPECT_EQ(a->value(), 5u);
  EXPECT_EQ(b->value(), 0u);
}

TEST(MetricRegistryTest, VisitsFamiliesByName) {
  MetricRegistry registry;
  registry.AddGauge("m", "M.")->Set(2.5);
  registry.AddCounter("z_total", "Z.");
  registry.AddHistogram("a_seconds", "A.", {1});
  std::vector<std::string> names;
  registry.Visit([&](const OwnFamily& f) {
    names.push_back(f.name);
    if (f.name == "m") {
      EXPECT_EQ(f.cells[0]->gauge->value(), 2.5);
    }
  });
  EXPECT_THAT(names, ElementsAre("a_seconds", "m", "z_total"));
}

TEST(MetricRegistryDeathTest, OneNameOneType) {
  MetricRegistry registry;
  registry.AddGauge("x", "X.");
  EXPECT_DEATH(registry.AddCounter("x", "X."), "two types");
}

}  // namespace
}  // namespace wheelpit
