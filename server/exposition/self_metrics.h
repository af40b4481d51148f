// The process' own metrics as prometheus-cpp families: the cells of a MetricRegistry (base/metrics.h) and `process_*`.
//
// An application that embeds the server may register SelfMetrics with its own prometheus::Exposer.
#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <string>
#include <vector>

#include "base/metrics.h"

namespace wheelpit {

// Thread-safe. Families by name.
class SelfMetrics : public prometheus::Collectable {
 public:
  // Both outlive it. `proc_dir`: what the kernel tells of this process; empty = no `process_*`.
  explicit SelfMetrics(const MetricRegistry* registry, std::string proc_dir = "/proc");
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const MetricRegistry* const registry_;
  const std::string proc_dir_;
};

// cpu, memory, threads, file descriptors, start time. What cannot be read is left out.
std::vector<prometheus::MetricFamily> ReadProcessMetrics(const std::string& proc_dir);

}  // namespace wheelpit
