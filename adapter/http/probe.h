// The adapter's own counters; names, help and labels stand in probe.cc only.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "absl/strings/string_view.h"
#include "adapter/http/registry.h"
#include "base/metrics.h"
#include "base/sync.h"

namespace wheelpit::adapter {

class AdapterProbe {
 public:
  explicit AdapterProbe(MetricRegistry* registry);

  // `api` is one of external, custom, resource, discovery, health, other.
  void Answered(absl::string_view api, int code, double seconds);
  void ValuesDropped(int count);
  // Why a metric that there is could not be answered; a word of metric_source.h, or "".
  void Failed(const std::string& reason);
  // The state of the rules now; after each relist and when /metrics is read. Rules that are no more
  // have no gauges.
  void SetRules(const Registry& registry);

 private:
  struct Cells {
    Histogram* seconds = nullptr;
    std::map<int, Counter*> requests;
  };
  MetricRegistry& registry_;
  Counter* const dropped_;
  Gauge* const metrics_;
  // Finding a cell by its labels costs more than an answer: they are kept by API.
  Mutex mu_;
  std::map<std::string, Cells, std::less<>> cells_ ABSL_GUARDED_BY(mu_);
  // One caller of SetRules at a time: gauges come and go there.
  Mutex rules_mu_;
  std::set<std::string> rules_ ABSL_GUARDED_BY(rules_mu_);
};

}  // namespace wheelpit::adapter
