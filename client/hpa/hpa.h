// The HorizontalPodAutoscaler's algorithm (autoscaling/v2), exactly as Kubernetes v1.36's controller decides it. Pure: time and
// readings are arguments; no clock, no I/O.
//
// Source of the behaviour: k8s.io/kubernetes pkg/controller/podautoscaler (horizontal.go, replica_calculator.go), restated. Doubles are
// used in the same order of operations, so that rounding agrees.
//
//   hpa::Controller controller(spec, {});
//   auto r = controller.Sync(now_ms, {.spec = 1, .status = 1, .ready = 1}, [&](const hpa::MetricSpec& m) { return Read(m); });
//   if (r.rescaled) SetReplicas(r.desired);
//
// Not thread-safe. Resource and ContainerResource metrics are not offered: nothing here measures processors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wheelpit::hpa {

enum class SourceType { kExternal, kObject, kPods };
enum class TargetType { kAverageValue, kValue };

struct MetricSpec {
  SourceType source = SourceType::kExternal;
  std::string name;
  // As a label selector parameter carries it (`queue=q,zone in (a,b)`); empty = none.
  std::string selector;
  TargetType target_type = TargetType::kAverageValue;
  int64_t target_milli = 0;  // > 0
};

enum class SelectPolicy { kMax, kMin, kDisabled };
enum class PolicyType { kPods, kPercent };

struct ScalingPolicy {
  PolicyType type = PolicyType::kPods;
  int32_t value = 1;            // >= 1
  int32_t period_seconds = 15;  // 1..1800
};

struct ScalingRules {
  std::optional<int32_t> stabilization_seconds;  // 0..3600; unset = the flag (down), 0 (up)
  SelectPolicy select = SelectPolicy::kMax;
  std::vector<ScalingPolicy> policies;
  std::optional<double> tolerance;
};

struct Behavior {
  ScalingRules up;
  ScalingRules down;
};

// The parts that the API server fills in when `behavior` is given with gaps.
ScalingRules DefaultScaleUpRules();
ScalingRules DefaultScaleDownRules();

struct Spec {
  std::string name;
  std::string namespace_name = "default";
  std::string target_kind;
  std::string target_name;
  int32_t min_replicas = 1;
  int32_t max_replicas = 1;
  std::vector<MetricSpec> metrics;
  // Absent is not the same as empty: absent means the legacy limits.
  std::optional<Behavior> behavior;
};

struct Options {
  double tolerance = 0.1;
  int32_t downscale_stabilization_seconds = 300;
  bool scale_to_zero = false;  // the gate HPAScaleToZero
};

// The scale subresource and the pods behind it.
struct Scale {
  int32_t spec = 0;    // wanted
  int32_t status = 0;  // existing, ready or not
  int32_t ready = 0;   // running and ready
};

enum class PodPhase { kReady, kPending, kDeleting, kFailed };
struct PodReading {
  PodPhase phase = PodPhase::kReady;
  std::optional<int64_t> value_milli;  // unset = no metric for this pod
};

// What the metrics API answered for one metric.
struct Reading {
  // Not OK: reason FailedGetExternalMetric and its like. An empty item list is an error too.
  absl::Status status;
  std::vector<int64_t> items_milli;  // External, Object
  std::vector<PodReading> pods;      // Pods: every pod of the target
};

struct Condition {
  bool status = false;
  std::string reason;  // empty = the condition has never been set
};

struct MetricStatus {
  bool ok = false;
  int64_t current_milli = 0;  // per replica for AverageValue, as `kubectl get hpa` shows it
  int32_t proposal = 0;
};

struct SyncResult {
  int32_t desired = 0;
  bool rescaled = false;  // desired differs from scale.spec and is to be written
  std::string rescale_reason;
  Condition able_to_scale;
  Condition scaling_active;
  Condition scaling_limited;
  Condition scaled_to_zero;
  std::vector<MetricStatus> metrics;  // empty when they were not read
  std::string error;                  // first metric's error, if any
};

class Controller {
 public:
  Controller(Spec spec, Options options);

  // One sync. `now_ms` must not fall. `read` is called for each metric, only when metrics decide.
  SyncResult Sync(int64_t now_ms, const Scale& scale, absl::FunctionRef<Reading(const MetricSpec&)> read);

  const Spec& spec() const { return spec_; }

 private:
  struct Recommendation {
    int32_t replicas;
    int64_t at_ms;
  };
  struct ScaleEvent {
    int32_t change;
    int64_t at_ms;
    bool outdated;
  };
  struct Combined;

  Combined CombineMetrics(const Scale& scale, absl::FunctionRef<Reading(const MetricSpec&)> read, SyncResult* result) const;
  absl::StatusOr<int32_t> Propose(const MetricSpec& metric, const Scale& scale, const Reading& reading, MetricStatus* status) const;
  absl::StatusOr<int32_t> ProposePods(const MetricSpec& metric, const Scale& scale, const Reading& reading, MetricStatus* status) const;
  int32_t DesiredFromMetrics(int64_t now_ms, const Scale& scale, const Combined& combined, SyncResult* result);
  bool Within(double ratio) const;
  int32_t Normalize(int64_t now_ms, int32_t current, int32_t wanted, SyncResult* result);
  int32_t NormalizeWithBehavior(int64_t now_ms, int32_t current, int32_t wanted, SyncResult* result);
  int32_t Stabilize(int64_t now_ms, int32_t current, int32_t wanted);
  int32_t LimitRate(int64_t now_ms, int32_t current, int32_t wanted, std::string* reason) const;
  int32_t ScaleUpLimit(int64_t now_ms, int32_t current) const;
  int32_t ScaleDownLimit(int64_t now_ms, int32_t current) const;
  void StoreScaleEvent(int64_t now_ms, int32_t before, int32_t after);

  const Spec spec_;
  const Options options_;
  bool started_ = false;
  std::vector<Recommendation> recommendations_;
  std::vector<ScaleEvent> up_events_;
  std::vector<ScaleEvent> down_events_;
  Condition able_to_scale_, scaling_active_, scaling_limited_, scaled_to_zero_;
};

// A Quantity in milli-units as the controller reads it: rounded up, wrapping at 64 bits. kInvalidArgument for what is none.
absl::StatusOr<int64_t> ParseQuantityMilli(absl::string_view text);
// Canonical text of a milli-quantity: `10`, `2350m`, `1k`.
std::string FormatQuantityMilli(int64_t milli);

}  // namespace wheelpit::hpa
