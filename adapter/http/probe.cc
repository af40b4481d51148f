#include "adapter/http/probe.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace wheelpit::adapter {

AdapterProbe::AdapterProbe(MetricRegistry* registry)
    : registry_(*registry),
      dropped_(registry->AddCounter("wheelpit_adapter_values_dropped_total",
                                    "Values left out of answers because no quantity can stand for "
                                    "them: NaN, infinite or negative ones.")),
      metrics_(registry->AddGauge("wheelpit_adapter_external_metrics",
                                  "External metrics that the rules give now.")) {}

void AdapterProbe::Answered(absl::string_view api, int code, double seconds) {
  Counter* requests;
  Histogram* latency;
  {
    MutexLock lock(&mu_);
    Cells& cells = cells_[std::string(api)];
    if (cells.seconds == nullptr) {
      cells.seconds = registry_.AddHistogram("wheelpit_adapter_request_seconds",
                                             "Time from a request's arrival to its answer.",
                                             LatencyBounds(), {{"api", std::string(api)}});
    }
    Counter*& counter = cells.requests[code];
    if (counter == nullptr) {
      counter = registry_.AddCounter("wheelpit_adapter_requests_total",
                                     "Requests answered, by API and HTTP status.",
                                     {{"api", std::string(api)}, {"code", absl::StrCat(code)}});
    }
    requests = counter;
    latency = cells.seconds;
  }
  requests->Add();
  latency->Observe(seconds);
}

void AdapterProbe::ValuesDropped(int count) { dropped_->Add(static_cast<uint64_t>(count)); }

void AdapterProbe::SetRules(const Registry& registry) {
  metrics_->Set(static_cast<double>(registry.Metrics().size()));
  for (const Registry::RuleState& state : registry.RuleStates()) {
    registry_
        .AddGauge("wheelpit_adapter_rule_up",
                  "1 if the last series query of a rule was answered, 0 if not.",
                  {{"rule", state.id}})
        ->Set(state.status.ok() ? 1 : 0);
  }
}

}  // namespace wheelpit::adapter
