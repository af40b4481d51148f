#include "adapter/http/probe.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace wheelpit::adapter {
namespace {

constexpr char kRuleUp[] = "wheelpit_adapter_rule_up";
constexpr char kRuleSeries[] = "wheelpit_adapter_rule_series_names";
constexpr char kRuleAnswered[] = "wheelpit_adapter_rule_last_answer_timestamp_seconds";

}  // namespace

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
      cells.seconds = registry_.AddHistogram("wheelpit_adapter_request_duration_seconds",
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

void AdapterProbe::Failed(const std::string& reason) {
  registry_
      .AddCounter("wheelpit_adapter_failures_total",
                  "Metrics that could not be answered, by reason: UNKNOWN values, an UNREACHABLE or "
                  "silent (TIMEOUT) source, a BAD_QUERY, …",
                  {{"reason", reason.empty() ? "OTHER" : reason}})
      ->Add();
}

void AdapterProbe::ValuesDropped(int count) { dropped_->Add(static_cast<uint64_t>(count)); }

void AdapterProbe::SetRules(const Registry& registry) {
  MutexLock lock(&rules_mu_);
  metrics_->Set(static_cast<double>(registry.Metrics().size()));
  std::set<std::string> now;
  for (const Registry::RuleState& state : registry.RuleStates()) {
    const MetricLabels labels = {{"rule", state.id}};
    registry_.AddGauge(kRuleUp, "1 if the last series query of a rule was answered, 0 if not.", labels)
        ->Set(state.status.ok() ? 1 : 0);
    registry_.AddGauge(kRuleSeries, "Series names that a rule has found.", labels)
        ->Set(static_cast<double>(state.series_names));
    if (state.answered_at != absl::InfinitePast()) {
      registry_
          .AddGauge(kRuleAnswered, "When a rule's series query was last answered, Unix time.", labels)
          ->Set(absl::ToDoubleSeconds(state.answered_at - absl::UnixEpoch()));
    }
    now.insert(state.id);
  }
  for (const std::string& id : rules_) {
    if (now.count(id) != 0) continue;
    for (const char* name : {kRuleUp, kRuleSeries, kRuleAnswered})
      registry_.RemoveGauge(name, {{"rule", id}});
  }
  rules_ = std::move(now);
}

}  // namespace wheelpit::adapter
