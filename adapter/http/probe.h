// The adapter's own counters; names, help and labels stand in probe.cc only.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "adapter/http/registry.h"
#include "base/metrics.h"

namespace wheelpit::adapter {

class AdapterProbe {
 public:
  explicit AdapterProbe(MetricRegistry* registry);

  // `api` is one of external, custom, resource, discovery, health, other.
  void Answered(absl::string_view api, int code, double seconds);
  void ValuesDropped(int count);
  // The state of the rules, taken when /metrics is read.
  void SetRules(const Registry& registry);

 private:
  MetricRegistry& registry_;
  Counter* const dropped_;
  Gauge* const metrics_;
};

}  // namespace wheelpit::adapter
