#include "server/exposition/gauge_families.h"

namespace wheelpit {

std::vector<prometheus::MetricFamily> ToPageFamilies(const std::vector<GaugeFamily>& families) {
  std::vector<prometheus::MetricFamily> page;
  for (const GaugeFamily& source : families) {
    prometheus::MetricFamily& family = page.emplace_back();
    family.name = source.name;
    family.help = source.help;
    family.type = prometheus::MetricType::Gauge;
    for (const VirtualSeries& series : source.series) {
      prometheus::ClientMetric& metric = family.metric.emplace_back();
      metric.gauge.value = series.value;
      for (const auto& [name, value] : series.labels.pairs()) metric.label.push_back({name, value});
    }
  }
  return page;
}

}  // namespace wheelpit
