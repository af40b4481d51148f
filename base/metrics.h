// Cells of the process' own metrics: relaxed atomics that any room may bump and exposition/self_metrics walks.
//
// Each room declares its cells in one probe.h; name, help and unit live there only:
//
//   struct JournalProbe {
//     Counter* const commits = OwnMetrics().AddCounter("wheelpit_journal_commits_total", "Group commits; …", {});
//   };
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/sync.h"

namespace wheelpit {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// Relaxed throughout: a scrape needs each cell's value, not an order between cells.
class Counter {
 public:
  void Add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void Set(double v) { value_.store(v, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

class Histogram {
 public:
  // Bounds strictly increasing; +Inf implied.
  explicit Histogram(std::vector<double> bounds);
  void Observe(double v);
  const std::vector<double>& bounds() const { return bounds_; }
  // Per bucket, not cumulative; bounds().size() + 1 of them.
  std::vector<uint64_t> counts() const;
  double sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  const std::vector<double> bounds_;
  std::unique_ptr<std::atomic<uint64_t>[]> counts_;
  std::atomic<double> sum_{0};
};

// Seconds from 1 ms to 1 h, doubling.
std::vector<double> LatencyBounds();

struct OwnFamily {
  enum class Type { kCounter, kGauge, kHistogram };
  struct Cell {
    MetricLabels labels;
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<Histogram> histogram;
  };
  std::string name;
  std::string help;
  Type type;
  std::vector<std::unique_ptr<Cell>> cells;
};

// A registry of own metrics. Thread-safe; adding an existing (name, labels) returns the same cell. Cells live
// as long as it does, but for gauges that are removed.
class MetricRegistry {
 public:
  Counter* AddCounter(absl::string_view name, absl::string_view help, MetricLabels labels = {});
  Gauge* AddGauge(absl::string_view name, absl::string_view help, MetricLabels labels = {});
  Histogram* AddHistogram(absl::string_view name, absl::string_view help, std::vector<double> bounds, MetricLabels labels = {});
  // Forgets that gauge; its cell is gone then, so only its owner may. Nothing if there is none.
  void RemoveGauge(absl::string_view name, const MetricLabels& labels);

  // Calls `visit(const OwnFamily&)` for each family by name, under the registry's lock.
  template <typename Visitor>
  void Visit(Visitor&& visit) const {
    MutexLock lock(&mu_);
    for (const auto& family : families_) visit(*family);
  }

 private:
  OwnFamily::Cell* FindOrAdd(absl::string_view name, absl::string_view help, OwnFamily::Type type, MetricLabels labels)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  mutable Mutex mu_;
  std::vector<std::unique_ptr<OwnFamily>> families_ ABSL_GUARDED_BY(mu_);
};

// The process' registry.
MetricRegistry& OwnMetrics();

}  // namespace wheelpit
