#include "adapter/http/own_metrics_text.h"

#include <gtest/gtest.h>

namespace wheelpit::adapter {
namespace {

TEST(OwnMetricsTextTest, WritesFamiliesOfThePrefix) {
  MetricRegistry registry;
  registry.AddCounter("a_requests_total", "Requests.", {{"api", "x\"y\\"}, {"code", "200"}})
      ->Add(3);
  registry.AddGauge("a_up", "Up\nor not.")->Set(0.5);
  Histogram* const histogram =
      registry.AddHistogram("a_seconds", "Time.", {0.1, 1}, {{"api", "x"}});
  histogram->Observe(0.05);
  histogram->Observe(0.5);
  histogram->Observe(5);
  registry.AddCounter("b_total", "Another room's.")->Add();
  EXPECT_EQ(OwnMetricsText(registry, "a_"),
            "# HELP a_requests_total Requests.\n# TYPE a_requests_total counter\n"
            "a_requests_total{api=\"x\\\"y\\\\\",code=\"200\"} 3\n"
            "# HELP a_seconds Time.\n# TYPE a_seconds histogram\n"
            "a_seconds_bucket{api=\"x\",le=\"0.1\"} 1\n"
            "a_seconds_bucket{api=\"x\",le=\"1\"} 2\n"
            "a_seconds_bucket{api=\"x\",le=\"+Inf\"} 3\n"
            "a_seconds_sum{api=\"x\"} 5.55\n"
            "a_seconds_count{api=\"x\"} 3\n"
            "# HELP a_up Up\\nor not.\n# TYPE a_up gauge\n"
            "a_up 0.5\n");
}

}  // namespace
}  // namespace wheelpit::adapter
