#include "client/hpa/hpa.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace wheelpit::hpa {
namespace {

constexpr int32_t kMaxReplicas = std::numeric_limits<int32_t>::max();
constexpr int32_t kMinInt32 = std::numeric_limits<int32_t>::min();

// A double as the controller casts it to int32, capped where a cast would be undefined.
int32_t ToReplicas(double v) {
  if (std::isnan(v)) return kMinInt32;
  if (v >= static_cast<double>(kMaxReplicas)) return kMaxReplicas;
  if (v <= static_cast<double>(kMinInt32)) return kMinInt32;
  return static_cast<int32_t>(v);
}

int64_t ToStatusMilli(double v) {
  // Go on amd64 turns NaN and infinities into the smallest integer; `kubectl describe` shows it, so do we.
  if (!(v > -9.3e18 && v < 9.2e18)) return std::numeric_limits<int64_t>::min();
  return static_cast<int64_t>(v);
}

int64_t WrappingAdd(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

const char* FailureReason(SourceType source) {
  switch (source) {
    case SourceType::kExternal: return "FailedGetExternalMetric";
    case SourceType::kObject: return "FailedGetObjectMetric";
    case SourceType::kPods: return "FailedGetPodsMetric";
  }
  return "InvalidMetricSourceType";
}

std::string MetricTitle(const MetricSpec& metric) {
  switch (metric.source) {
    case SourceType::kExternal: return absl::StrCat("external metric ", metric.name);
    case SourceType::kObject: return absl::StrCat("object metric ", metric.name);
    case SourceType::kPods: return absl::StrCat("pods metric ", metric.name);
  }
  return metric.name;
}

// Mean, truncated as integers divide, over the target.
double UsageRatio(const std::vector<int64_t>& values, int64_t target, int64_t* mean) {
  int64_t total = 0;
  for (int64_t v : values) total = WrappingAdd(total, v);
  *mean = total / static_cast<int64_t>(values.size());
  return static_cast<double>(*mean) / static_cast<double>(target);
}

}  // namespace

ScalingRules DefaultScaleUpRules() {
  ScalingRules rules;
  rules.stabilization_seconds = 0;
  rules.policies = {{PolicyType::kPods, 4, 15}, {PolicyType::kPercent, 100, 15}};
  return rules;
}

ScalingRules DefaultScaleDownRules() {
  ScalingRules rules;
  rules.policies = {{PolicyType::kPercent, 100, 15}};
  return rules;
}

struct Controller::Combined {
  int32_t best = -1;
  int bad = 0;
  std::string best_title;
  std::string first_reason;
  std::string first_error;
};

Controller::Controller(Spec spec, Options options) : spec_(std::move(spec)), options_(options) {}

bool Controller::Within(double ratio) const {
  double up = options_.tolerance;
  double down = options_.tolerance;
  if (spec_.behavior) {
    up = spec_.behavior->up.tolerance.value_or(up);
    down = spec_.behavior->down.tolerance.value_or(down);
  }
  return (1.0 - down) <= ratio && ratio <= (1.0 + up);
}

absl::StatusOr<int32_t> Controller::Propose(const MetricSpec& metric, const Scale& scale, const Reading& reading,
                                            MetricStatus* status) const {
  if (!reading.status.ok()) return reading.status;
  if (metric.source == SourceType::kPods) return ProposePods(metric, scale, reading, status);
  if (reading.items_milli.empty()) {
    return absl::NotFoundError(absl::StrCat("no metrics returned from external metrics API for ", metric.name));
  }
  const bool average = metric.target_type == TargetType::kAverageValue;
  int64_t usage = 0;
  for (int64_t item : reading.items_milli) {
    usage = WrappingAdd(usage, item);
    // The controller takes a negative sum for an overflow and scales towards the maximum.
    if (average && usage < 0) {
      usage = std::numeric_limits<int64_t>::max();
      break;
    }
  }
  const auto u = static_cast<double>(usage);
  const auto t = static_cast<double>(metric.target_milli);
  if (average) {
    const double ratio = u / (t * static_cast<double>(scale.status));
    status->current_milli = ToStatusMilli(std::ceil(u / static_cast<double>(scale.status)));
    // Within tolerance it returns the existing pods, not the wanted ones.
    return Within(ratio) ? scale.status : ToReplicas(std::ceil(u / t));
  }
  status->current_milli = usage;
  const double ratio = u / t;
  if (scale.spec == 0) return ToReplicas(std::ceil(ratio));
  if (Within(ratio)) return scale.spec;
  if (scale.status == 0) return absl::FailedPreconditionError("no pods returned by selector while calculating replica count");
  return ToReplicas(std::ceil(ratio * static_cast<double>(scale.ready)));
}

absl::StatusOr<int32_t> Controller::ProposePods(const MetricSpec& metric, const Scale& scale, const Reading& reading,
                                                MetricStatus* status) const {
  std::vector<int64_t> values;
  int unready = 0, missing = 0;
  for (const PodReading& pod : reading.pods) {
    if (pod.phase == PodPhase::kDeleting || pod.phase == PodPhase::kFailed) continue;
    if (pod.phase == PodPhase::kPending) {
      ++unready;
    } else if (!pod.value_milli) {
      ++missing;
    } else {
      values.push_back(*pod.value_milli);
    }
  }
  if (values.empty()) return absl::NotFoundError("did not receive metrics for targeted pods (pods might be unready)");
  const size_t ready = values.size();
  const double ratio = UsageRatio(values, metric.target_milli, &status->current_milli);
  const bool up_with_unready = unready > 0 && ratio > 1.0;
  if (!up_with_unready && missing == 0) {
    return Within(ratio) ? scale.spec : ToReplicas(std::ceil(ratio * static_cast<double>(ready)));
  }
  // Doubtful pods are counted so that they never enlarge a change.
  if (ratio < 1.0) values.insert(values.end(), static_cast<size_t>(missing), metric.target_milli);
  if (ratio > 1.0) values.insert(values.end(), static_cast<size_t>(missing), 0);
  if (up_with_unready) values.insert(values.end(), static_cast<size_t>(unready), 0);
  int64_t mean = 0;
  const double guarded = UsageRatio(values, metric.target_milli, &mean);
  if (Within(guarded) || (ratio < 1.0 && guarded > 1.0) || (ratio > 1.0 && guarded < 1.0)) return scale.spec;
  const int32_t n = ToReplicas(std::ceil(guarded * static_cast<double>(values.size())));
  if ((guarded < 1.0 && n > scale.spec) || (guarded > 1.0 && n < scale.spec)) return scale.spec;
  return n;
}

Controller::Combined Controller::CombineMetrics(const Scale& scale, absl::FunctionRef<Reading(const MetricSpec&)> read,
                                                SyncResult* result) const {
  Combined combined;
  for (const MetricSpec& metric : spec_.metrics) {
    MetricStatus status;
    absl::StatusOr<int32_t> proposal = Propose(metric, scale, read(metric), &status);
    if (!proposal.ok()) {
      if (combined.bad++ == 0) {
        combined.first_reason = FailureReason(metric.source);
        combined.first_error = std::string(proposal.status().message());
      }
    } else {
      status.ok = true;
      status.proposal = *proposal;
      if (combined.best < 0 || *proposal > combined.best) {
        combined.best = std::max(*proposal, 0);
        combined.best_title = MetricTitle(metric);
      }
    }
    result->metrics.push_back(status);
  }
  return combined;
}

int32_t Controller::Normalize(int64_t now_ms, int32_t current, int32_t wanted, SyncResult* result) {
  // Legacy: the highest wish of the window counts, its edge included.
  const int64_t cutoff = now_ms - 1000LL * options_.downscale_stabilization_seconds;
  int32_t stabilized = wanted;
  Recommendation* old = nullptr;
  for (Recommendation& r : recommendations_) {
    if (r.at_ms < cutoff) {
      old = &r;
    } else {
      stabilized = std::max(stabilized, r.replicas);
    }
  }
  if (old != nullptr) {
    *old = {wanted, now_ms};
  } else {
    recommendations_.push_back({wanted, now_ms});
  }
  able_to_scale_ = {true, stabilized != wanted ? "ScaleDownStabilized" : "ReadyForNewScale"};

  const int32_t up_limit = static_cast<int32_t>(std::min<int64_t>(std::max<int64_t>(2LL * current, 4), kMaxReplicas));
  const int32_t max_allowed = std::min(spec_.max_replicas, up_limit);
  int32_t out = stabilized;
  std::string reason = "DesiredWithinRange";
  if (stabilized < spec_.min_replicas) {
    out = spec_.min_replicas;
    reason = "TooFewReplicas";
  } else if (stabilized > max_allowed) {
    out = max_allowed;
    reason = spec_.max_replicas > up_limit ? "ScaleUpLimit" : "TooManyReplicas";
  }
  scaling_limited_ = {out != stabilized, reason};
  (void)result;
  return out;
}

int32_t Controller::Stabilize(int64_t now_ms, int32_t current, int32_t wanted) {
  const Behavior& behavior = *spec_.behavior;
  const int64_t up_cutoff = now_ms - 1000LL * behavior.up.stabilization_seconds.value_or(0);
  const int64_t down_cutoff =
      now_ms - 1000LL * behavior.down.stabilization_seconds.value_or(options_.downscale_stabilization_seconds);
  int32_t lowest = wanted, highest = wanted;
  Recommendation* old = nullptr;
  for (Recommendation& r : recommendations_) {
    if (r.at_ms > up_cutoff) lowest = std::min(lowest, r.replicas);
    if (r.at_ms > down_cutoff) highest = std::max(highest, r.replicas);
    if (r.at_ms < up_cutoff && r.at_ms < down_cutoff) old = &r;
  }
  if (old != nullptr) {
    *old = {wanted, now_ms};
  } else {
    recommendations_.push_back({wanted, now_ms});
  }
  return std::min(std::max(current, lowest), highest);
}

namespace {

template <typename Events>
int64_t ChangeWithin(const Events& events, int64_t now_ms, int32_t period_seconds) {
  int64_t sum = 0;
  for (const auto& e : events) {
    if (e.at_ms > now_ms - 1000LL * period_seconds) sum += e.change;
  }
  return sum;
}

}  // namespace

int32_t Controller::ScaleUpLimit(int64_t now_ms, int32_t current) const {
  const ScalingRules& rules = spec_.behavior->up;
  if (rules.select == SelectPolicy::kDisabled) return current;
  const bool least = rules.select == SelectPolicy::kMin;
  int32_t limit = least ? kMaxReplicas : kMinInt32;
  for (const ScalingPolicy& p : rules.policies) {
    const int64_t start = current - ChangeWithin(up_events_, now_ms, p.period_seconds) +
                          ChangeWithin(down_events_, now_ms, p.period_seconds);
    const int32_t proposed =
        p.type == PolicyType::kPods
            ? ToReplicas(static_cast<double>(start + p.value))
            : ToReplicas(std::ceil(static_cast<double>(start) * (1 + static_cast<double>(p.value) / 100)));
    limit = least ? std::min(limit, proposed) : std::max(limit, proposed);
  }
  return limit;
}

int32_t Controller::ScaleDownLimit(int64_t now_ms, int32_t current) const {
  const ScalingRules& rules = spec_.behavior->down;
  if (rules.select == SelectPolicy::kDisabled) return current;
  const bool least = rules.select == SelectPolicy::kMin;
  int32_t limit = least ? kMinInt32 : kMaxReplicas;
  for (const ScalingPolicy& p : rules.policies) {
    const int64_t start = current - ChangeWithin(up_events_, now_ms, p.period_seconds) +
                          ChangeWithin(down_events_, now_ms, p.period_seconds);
    const int32_t proposed = p.type == PolicyType::kPods
                                 ? ToReplicas(static_cast<double>(start - p.value))
                                 : ToReplicas(static_cast<double>(start) * (1 - static_cast<double>(p.value) / 100));
    limit = least ? std::max(limit, proposed) : std::min(limit, proposed);
  }
  return limit;
}

int32_t Controller::LimitRate(int64_t now_ms, int32_t current, int32_t wanted, std::string* reason) const {
  *reason = "DesiredWithinRange";
  if (wanted > current) {
    const int32_t limit = std::max(ScaleUpLimit(now_ms, current), current);
    const int32_t allowed = std::min(spec_.max_replicas, limit);
    if (wanted > allowed) {
      *reason = spec_.max_replicas > limit ? "ScaleUpLimit" : "TooManyReplicas";
      return allowed;
    }
  } else if (wanted < current) {
    const int32_t limit = std::min(ScaleDownLimit(now_ms, current), current);
    const int32_t allowed = std::max(spec_.min_replicas, limit);
    if (wanted < allowed) {
      *reason = spec_.min_replicas < limit ? "ScaleDownLimit" : "TooFewReplicas";
      return allowed;
    }
  }
  return wanted;
}

int32_t Controller::NormalizeWithBehavior(int64_t now_ms, int32_t current, int32_t wanted, SyncResult* result) {
  const int32_t stabilized = Stabilize(now_ms, current, wanted);
  if (stabilized != wanted) {
    able_to_scale_ = {true, wanted >= current ? "ScaleUpStabilized" : "ScaleDownStabilized"};
  } else {
    able_to_scale_ = {true, "ReadyForNewScale"};
  }
  std::string reason;
  const int32_t out = LimitRate(now_ms, current, stabilized, &reason);
  scaling_limited_ = {out != stabilized, reason};
  (void)result;
  return out;
}

void Controller::StoreScaleEvent(int64_t now_ms, int32_t before, int32_t after) {
  if (!spec_.behavior) return;
  const bool up = after > before;
  const ScalingRules& rules = up ? spec_.behavior->up : spec_.behavior->down;
  std::vector<ScaleEvent>& events = up ? up_events_ : down_events_;
  int32_t longest = 0;
  for (const ScalingPolicy& p : rules.policies) longest = std::max(longest, p.period_seconds);
  ScaleEvent* old = nullptr;
  for (ScaleEvent& e : events) {
    if (e.at_ms < now_ms - 1000LL * longest) e.outdated = true;
    if (e.outdated) old = &e;
  }
  const ScaleEvent event{up ? after - before : before - after, now_ms, false};
  if (old != nullptr) {
    *old = event;
  } else {
    events.push_back(event);
  }
}

int32_t Controller::DesiredFromMetrics(int64_t now_ms, const Scale& scale, const Combined& combined, SyncResult* result) {
  scaling_active_ = {true, "ValidMetricFound"};
  const int32_t wanted = std::max(combined.best, 0);
  if (wanted > scale.spec) result->rescale_reason = absl::StrCat(combined.best_title, " above target");
  if (wanted < scale.spec) result->rescale_reason = "All metrics below target";
  return spec_.behavior ? NormalizeWithBehavior(now_ms, scale.spec, wanted, result)
                        : Normalize(now_ms, scale.spec, wanted, result);
}

SyncResult Controller::Sync(int64_t now_ms, const Scale& scale, absl::FunctionRef<Reading(const MetricSpec&)> read) {
  SyncResult result;
  result.desired = scale.spec;
  able_to_scale_ = {true, "SucceededGetScale"};
  if (!started_) {
    started_ = true;
    recommendations_.push_back({scale.spec, now_ms});
  }
  const auto finish = [&]() -> SyncResult {
    result.able_to_scale = able_to_scale_;
    result.scaling_active = scaling_active_;
    result.scaling_limited = scaling_limited_;
    result.scaled_to_zero = scaled_to_zero_;
    return std::move(result);
  };

  bool outside = false;  // any metric that exists without pods
  for (const MetricSpec& m : spec_.metrics) outside |= m.source != SourceType::kPods;
  const bool asleep = options_.scale_to_zero && scaled_to_zero_.status;
  if (scale.spec == 0 && !(asleep && (spec_.min_replicas != 0 || outside))) {
    scaling_active_ = {false, "ScalingDisabled"};
    return finish();
  }
  int32_t desired = scale.spec;
  if (scale.spec > spec_.max_replicas) {
    desired = spec_.max_replicas;
    result.rescale_reason = "Current number of replicas above Spec.MaxReplicas";
  } else if (scale.spec != 0 && scale.spec < spec_.min_replicas) {
    desired = spec_.min_replicas;
    result.rescale_reason = "Current number of replicas below Spec.MinReplicas";
  } else {
    const Combined combined = CombineMetrics(scale, read, &result);
    result.error = combined.first_error;
    if (combined.bad == static_cast<int>(spec_.metrics.size()) || (combined.bad > 0 && combined.best < scale.spec)) {
      scaling_active_ = {false, combined.first_reason};
      return finish();
    }
    desired = DesiredFromMetrics(now_ms, scale, combined, &result);
    if (scale.spec == 0 && spec_.min_replicas != 0 && asleep) desired = std::max(desired, spec_.min_replicas);
  }
  result.desired = desired;
  result.rescaled = desired != scale.spec;
  if (result.rescaled) {
    able_to_scale_ = {true, "SucceededRescale"};
    StoreScaleEvent(now_ms, scale.spec, desired);
    if (options_.scale_to_zero) {
      const bool zero = scale.spec > 0 && desired == 0 && spec_.min_replicas == 0 && outside;
      scaled_to_zero_ = {zero, zero ? "ScaledToZero" : "NotScaledToZero"};
    }
  }
  return finish();
}

}  // namespace wheelpit::hpa
