#include "server/exposition/self_metrics.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/exposition/text_writer.h"

namespace wheelpit {
namespace {

std::string RenderAll(const SelfMetrics& self, const ExpositionStyle& style) {
  std::string page;
  for (const auto& family : self.Collect()) page += RenderPrometheusFamily(family, style).text;
  return page;
}

TEST(SelfMetricsTest, CellsBecomeFamiliesInEachFormat) {
  MetricRegistry registry;
  registry.AddCounter("b_total", "Line one\nline \"two\".", {{"k", "v\"w"}})->Add(7);
  registry.AddGauge("a", "A.")->Set(0.5);
  Histogram* h = registry.AddHistogram("c_seconds", "C.", {0.005, 1, 1e6});
  for (double v : {0.001, 0.5, 2.0, 3e6}) h->Observe(v);
  const SelfMetrics self(&registry, "");
  EXPECT_EQ(RenderAll(self, {}),
            "# HELP a A.\n# TYPE a gauge\na 0.5\n"
            "# HELP b_total Line one\\nline \"two\".\n# TYPE b_total counter\nb_total{k=\"v\\\"w\"} 7\n"
            "# HELP c_seconds C.\n# TYPE c_seconds histogram\n"
            "c_seconds_bucket{le=\"0.005\"} 1\nc_seconds_bucket{le=\"1.0\"} 2\nc_seconds_bucket{le=\"1e+06\"} 3\n"
            "c_seconds_bucket{le=\"+Inf\"} 4\nc_seconds_sum 3000002.501\nc_seconds_count 4\n");
  EXPECT_THAT(RenderAll(self, {.format = ExpositionFormat::kOpenMetrics}),
              testing::HasSubstr("# TYPE b counter\n# HELP b Line one\\nline \\\"two\\\".\nb_total{k=\"v\\\"w\"} 7\n"));
}

TEST(SelfMetricsTest, TheProcessIsDescribed) {
  std::map<std::string, double> values;
  for (const auto& family : ReadProcessMetrics("/proc")) {
    ASSERT_EQ(family.metric.size(), 1u);
    values[family.name] = family.metric[0].counter.value + family.metric[0].gauge.value;
  }
  EXPECT_GE(values.at("process_threads"), 1);
  EXPECT_GT(values.at("process_resident_memory_bytes"), 1 << 20);
  EXPECT_GT(values.at("process_open_fds"), 2);
  EXPECT_GE(values.at("process_max_fds"), values.at("process_open_fds"));
  EXPECT_GT(values.at("process_start_time_seconds"), 1.6e9);
  EXPECT_TRUE(values.count("process_cpu_seconds_total"));
  EXPECT_TRUE(ReadProcessMetrics("/nowhere").empty());
}

}  // namespace
}  // namespace wheelpit
