#include "server/exposition/self_metrics.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace wheelpit {
namespace {

prometheus::ClientMetric::Histogram ToHistogram(const Histogram& cell) {
  prometheus::ClientMetric::Histogram histogram;
  const std::vector<uint64_t> counts = cell.counts();
  uint64_t cumulative = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    cumulative += counts[i];
    const double bound = i < cell.bounds().size() ? cell.bounds()[i] : std::numeric_limits<double>::infinity();
    histogram.bucket.push_back({cumulative, bound});
  }
  // One reading of the buckets, so that the count equals the last bucket.
  histogram.sample_count = cumulative;
  histogram.sample_sum = cell.sum();
  return histogram;
}

prometheus::ClientMetric ToMetric(const OwnFamily::Cell& cell) {
  prometheus::ClientMetric metric;
  for (const auto& [name, value] : cell.labels) metric.label.push_back({name, value});
  if (cell.counter != nullptr) metric.counter.value = static_cast<double>(cell.counter->value());
  if (cell.gauge != nullptr) metric.gauge.value = cell.gauge->value();
  if (cell.histogram != nullptr) metric.histogram = ToHistogram(*cell.histogram);
  return metric;
}

prometheus::MetricType TypeOf(OwnFamily::Type type) {
  switch (type) {
    case OwnFamily::Type::kCounter:
      return prometheus::MetricType::Counter;
    case OwnFamily::Type::kGauge:
      return prometheus::MetricType::Gauge;
    case OwnFamily::Type::kHistogram:
      return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

}  // namespace

SelfMetrics::SelfMetrics(const MetricRegistry* registry, std::string proc_dir)
    : registry_(registry), proc_dir_(std::move(proc_dir)) {}

std::vector<prometheus::MetricFamily> SelfMetrics::Collect() const {
  std::vector<prometheus::MetricFamily> families;
  registry_->Visit([&families](const OwnFamily& own) {
    prometheus::MetricFamily& family = families.emplace_back();
    family.name = own.name;
    family.help = own.help;
    family.type = TypeOf(own.type);
    for (const auto& cell : own.cells) family.metric.push_back(ToMetric(*cell));
  });
  if (!proc_dir_.empty()) {
    for (auto& family : ReadProcessMetrics(proc_dir_)) families.push_back(std::move(family));
  }
  std::sort(families.begin(), families.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return families;
}

}  // namespace wheelpit
