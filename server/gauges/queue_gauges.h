// The queue gauges `wheelpit_queue_*`: what the engine published of each queue, as series for queries, discovery and pages.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/gauges/queue_rates.h"
#include "server/model/queue_stats.h"
#include "server/promql/query_engine.h"

namespace wheelpit {

struct QueueGaugeOptions {
  // Beyond this many queues the rest is summed (ages: the oldest) in queue="_other".
  size_t metric_queues_max = 1000;
};

struct GaugeFamily {
  std::string name;
  std::string help;
  std::vector<VirtualSeries> series;
};

// Pure: the gauges of `stats` at `now_ms`, families by name, series by queue then label. With a name: only that family, or none.
std::vector<GaugeFamily> QueueGaugeFamilies(const ShardStats& stats, const QueueRatesByName& rates, int64_t now_ms,
                                            const QueueGaugeOptions& options, absl::string_view only = {});

// Thread-safe if `stats` is. Before stats are published there are no gauges: unknown is not 0.
class QueueGauges : public VirtualSeriesSource {
 public:
  // What WorkQueue::stats() returns; null = nothing published yet.
  using StatsSource = std::function<std::shared_ptr<const ShardStats>()>;
  // `store` outlives it.
  QueueGauges(StatsSource stats, const SeriesStore* store, const QueueGaugeOptions& options = {});

  std::vector<VirtualSeries> Read(int64_t now_ms, absl::string_view name) const override;
  std::vector<GaugeFamily> Families(int64_t now_ms) const;

 private:
  std::vector<GaugeFamily> FamiliesNamed(int64_t now_ms, absl::string_view name) const;

  const StatsSource stats_;
  const SeriesStore* const store_;
  const QueueGaugeOptions options_;
};

}  // namespace wheelpit
