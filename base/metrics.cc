#include "base/metrics.h"

#include <algorithm>

#include "base/check.h"

namespace wheelpit {

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)),
      counts_(std::make_unique<std::atomic<uint64_t>[]>(bounds_.size() + 1)) {
  for (size_t i = 1; i < bounds_.size(); ++i)
    WHEELPIT_CHECK(bounds_[i - 1] < bounds_[i], "bound %d", i);
}

void Histogram::Observe(double v) {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), v) - bounds_.begin();
  counts_[static_cast<size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(v, std::memory_order_relaxed);
}

std::vector<uint64_t> Histogram::counts() const {
  std::vector<uint64_t> out(bounds_.size() + 1);
  for (size_t i = 0; i < out.size(); ++i) out[i] = counts_[i].load(std::memory_order_relaxed);
  return out;
}

std::vector<double> LatencyBounds() {
  std::vector<double> bounds;
  for (double b = 0.001; b < 3600; b *= 2) bounds.push_back(b);
  bounds.push_back(3600);
  return bounds;
}

OwnFamily::Cell* MetricRegistry::FindOrAdd(absl::string_view name, absl::string_view help,
                                           OwnFamily::Type type, MetricLabels labels) {
  auto at = std::lower_bound(
      families_.begin(), families_.end(), name,
      [](const std::unique_ptr<OwnFamily>& f, absl::string_view n) { return f->name < n; });
  if (at == families_.end() || (*at)->name != name) {
    auto family = std::make_unique<OwnFamily>();
    family->name = std::string(name);
    family->help = std::string(help);
    family->type = type;
    at = families_.insert(at, std::move(family));
  }
  OwnFamily& family = **at;
  WHEELPIT_CHECK(family.type == type, "own metric %s has two types", name);
  for (const auto& cell : family.cells)
    if (cell->labels == labels) return cell.get();
  family.cells.push_back(std::make_unique<OwnFamily::Cell>());
  family.cells.back()->labels = std::move(labels);
  return family.cells.back().get();
}

Counter* MetricRegistry::AddCounter(absl::string_view name, absl::string_view help,
                                    MetricLabels labels) {
  MutexLock lock(&mu_);
  OwnFamily::Cell* cell = FindOrAdd(name, help, OwnFamily::Type::kCounter, std::move(labels));
  if (cell->counter == nullptr) cell->counter = std::make_unique<Counter>();
  return cell->counter.get();
}

Gauge* MetricRegistry::AddGauge(absl::string_view name, absl::string_view help,
                                MetricLabels labels) {
  MutexLock lock(&mu_);
  OwnFamily::Cell* cell = FindOrAdd(name, help, OwnFamily::Type::kGauge, std::move(labels));
  if (cell->gauge == nullptr) cell->gauge = std::make_unique<Gauge>();
  return cell->gauge.get();
}

Histogram* MetricRegistry::AddHistogram(absl::string_view name, absl::string_view help,
                                        std::vector<double> bounds, MetricLabels labels) {
  MutexLock lock(&mu_);
  OwnFamily::Cell* cell = FindOrAdd(name, help, OwnFamily::Type::kHistogram, std::move(labels));
  if (cell->histogram == nullptr) cell->histogram = std::make_unique<Histogram>(std::move(bounds));
  return cell->histogram.get();
}

void MetricRegistry::RemoveGauge(absl::string_view name, const MetricLabels& labels) {
  MutexLock lock(&mu_);
  for (const auto& family : families_) {
    if (family->name != name || family->type != OwnFamily::Type::kGauge) continue;
    std::erase_if(family->cells, [&](const auto& cell) { return cell->labels == labels; });
  }
}

MetricRegistry& OwnMetrics() {
  // Never destroyed: cells are bumped until the last thread ends.
  static MetricRegistry* const registry = new MetricRegistry;
  return *registry;
}

}  // namespace wheelpit
