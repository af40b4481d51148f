// Single syncs. Each vector was taken from the real controller (v1.36.3) under a virtual clock.
#include "client/hpa/hpa.h"

#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace wheelpit::hpa {
namespace {

constexpr int64_t kUnit = 1000;  // milli

MetricSpec External(int64_t target, TargetType type = TargetType::kAverageValue, std::string name = "m") {
  MetricSpec m;
  m.name = std::move(name);
  m.target_type = type;
  m.target_milli = target * kUnit;
  return m;
}

Behavior EmptyBehavior() { return {DefaultScaleUpRules(), DefaultScaleDownRules()}; }

// behavior {scaleDown window 0}
Behavior NoDownWindow() {
  Behavior b = EmptyBehavior();
  b.down.stabilization_seconds = 0;
  return b;
}

struct Case {
  std::string id;
  int32_t start = 0;
  std::vector<int64_t> items;  // milli, of the one External metric
  int32_t expect = 0;
  std::string able;
  std::string limited;  // reason if ScalingLimited is True
  std::optional<Behavior> behavior;
  std::optional<int32_t> status;
  std::optional<int32_t> ready;
  TargetType type = TargetType::kAverageValue;
  int64_t target = 10;
  int32_t min = 1;
  int32_t max = 100;
};

Reading Items(std::vector<int64_t> items) {
  Reading r;
  r.items_milli = std::move(items);
  return r;
}

void Check(const Case& c) {
  SCOPED_TRACE(c.id);
  Spec spec;
  spec.min_replicas = c.min;
  spec.max_replicas = c.max;
  spec.metrics = {External(c.target, c.type)};
  spec.behavior = c.behavior;
  Controller controller(spec, {});
  const Scale scale{c.start, c.status.value_or(c.start), c.ready.value_or(c.start)};
  const SyncResult r = controller.Sync(0, scale, [&](const MetricSpec&) { return Items(c.items); });
  EXPECT_EQ(r.desired, c.expect);
  EXPECT_EQ(r.able_to_scale.reason, c.able);
  EXPECT_EQ(r.scaling_limited.status ? r.scaling_limited.reason : "", c.limited);
  EXPECT_EQ(r.rescaled, c.expect != c.start);
}

constexpr const char* kRescaled = "SucceededRescale";
constexpr const char* kReady = "ReadyForNewScale";
constexpr const char* kDownHeld = "ScaleDownStabilized";
constexpr const char* kGot = "SucceededGetScale";

TEST(HpaTest, AbsentBehaviorIsNotEmptyBehavior) {
  Check({.id = "P01", .start = 1, .items = {50 * kUnit}, .expect = 4, .able = kRescaled, .limited = "ScaleUpLimit", .max = 20});
  Check({.id = "P02", .start = 1, .items = {50 * kUnit}, .expect = 5, .able = kRescaled, .limited = "", .behavior = EmptyBehavior(), .max = 20});
}

TEST(HpaTest, ToleranceIsInclusive) {
  Check({.id = "P03", .start = 10, .items = {109 * kUnit}, .expect = 10, .able = kReady});
  Check({.id = "P04", .start = 10, .items = {110 * kUnit}, .expect = 10, .able = kReady});
  Check({.id = "P05", .start = 10, .items = {111 * kUnit}, .expect = 12, .able = kRescaled});
  Check({.id = "P06", .start = 10, .items = {90 * kUnit}, .expect = 10, .able = kReady, .behavior = NoDownWindow()});
  Check({.id = "P07", .start = 10, .items = {89 * kUnit}, .expect = 9, .able = kRescaled, .behavior = NoDownWindow()});
}

TEST(HpaTest, InitialRecommendationHoldsAgainstScaleDown) {
  Check({.id = "P08", .start = 10, .items = {89 * kUnit}, .expect = 10, .able = kDownHeld});
}

TEST(HpaTest, WithinToleranceReturnsExistingPods) {
  Check({.id = "P09", .start = 10, .items = {130 * kUnit}, .expect = 13, .able = kRescaled, .status = 13});
  Check({.id = "P10", .start = 10, .items = {42 * kUnit}, .expect = 10, .able = kDownHeld, .status = 4});
  Check({.id = "P11", .start = 10, .items = {42 * kUnit}, .expect = 4, .able = kRescaled, .behavior = NoDownWindow(), .status = 4});
}

TEST(HpaTest, NoExistingPodsAndNoValueGoesToMinimum) {
  Check({.id = "P12", .start = 3, .items = {0}, .expect = 1, .able = kRescaled, .limited = "TooFewReplicas", .behavior = NoDownWindow(), .status = 0});
}

TEST(HpaTest, ValueTargetsMultiplyByReadyPods) {
  const TargetType v = TargetType::kValue;
  Check({.id = "P13", .start = 4, .items = {250 * kUnit}, .expect = 8, .able = kRescaled, .limited = "ScaleUpLimit", .type = v, .target = 100});
  Check({.id = "P14", .start = 4, .items = {250 * kUnit}, .expect = 5, .able = kRescaled, .ready = 2, .type = v, .target = 100});
  Check({.id = "P15", .start = 4, .items = {50 * kUnit}, .expect = 1, .able = kRescaled, .behavior = NoDownWindow(), .ready = 2, .type = v, .target = 100});
  Check({.id = "P16", .start = 25, .items = {28 * kUnit}, .expect = 29, .able = kRescaled, .type = v, .target = 25});
}

TEST(HpaTest, LimitsOfReplicasActWithoutMetrics) {
  Check({.id = "P28", .start = 12, .items = {}, .expect = 10, .able = kRescaled, .max = 10});
  Check({.id = "P29", .start = 1, .items = {}, .expect = 3, .able = kRescaled, .min = 3});
  Check({.id = "P30", .start = 0, .items = {500 * kUnit}, .expect = 0, .able = kGot});
}

TEST(HpaTest, PoliciesRoundTwice) {
  Behavior up = EmptyBehavior();
  up.up.policies = {{PolicyType::kPercent, 10, 60}};
  Check({.id = "P31", .start = 50, .items = {900 * kUnit}, .expect = 56, .able = kRescaled, .limited = "ScaleUpLimit", .behavior = up});
  Behavior down = NoDownWindow();
  down.down.policies = {{PolicyType::kPercent, 80, 60}};
  Check({.id = "P32", .start = 20, .items = {0}, .expect = 3, .able = kRescaled, .limited = "ScaleDownLimit", .behavior = down});
}

TEST(HpaTest, SelectPolicyMinAndDisabled) {
  Behavior up = EmptyBehavior();
  up.up.select = SelectPolicy::kMin;
  Check({.id = "P33", .start = 3, .items = {900 * kUnit}, .expect = 6, .able = kRescaled, .limited = "ScaleUpLimit", .behavior = up});
  Behavior down = NoDownWindow();
  down.down.select = SelectPolicy::kDisabled;
  Check({.id = "P34", .start = 10, .items = {0}, .expect = 10, .able = kReady, .limited = "ScaleDownLimit", .behavior = down});
}

TEST(HpaTest, ToleranceIsPerDirection) {
  Behavior up = EmptyBehavior();
  up.up.tolerance = 0;
  Check({.id = "P35", .start = 10, .items = {101 * kUnit}, .expect = 11, .able = kRescaled, .behavior = up});
  Behavior down = NoDownWindow();
  down.down.tolerance = 0.5;
  Check({.id = "P36", .start = 10, .items = {55 * kUnit}, .expect = 10, .able = kReady, .behavior = down});
}

TEST(HpaTest, OverflowAndNegativeSumsScaleToTheMaximum) {
  const int64_t wrapped = *ParseQuantityMilli("10000000000000000");  // 1e16 wraps in milli
  Check({.id = "P37", .start = 10, .items = {wrapped}, .expect = 20, .able = kRescaled, .limited = "ScaleUpLimit"});
  const int64_t big = *ParseQuantityMilli("6000000000000000");
  Check({.id = "P38", .start = 10, .items = {big, big}, .expect = 20, .able = kRescaled, .limited = "ScaleUpLimit"});
  Check({.id = "P39", .start = 10, .items = {-5 * kUnit}, .expect = 20, .able = kRescaled, .limited = "ScaleUpLimit"});
  Check({.id = "P40", .start = 4, .items = {-5 * kUnit}, .expect = 1, .able = kRescaled, .limited = "TooFewReplicas", .behavior = NoDownWindow(), .type = TargetType::kValue});
}

TEST(HpaTest, ItemsAreSummed) {
  Check({.id = "P42", .start = 3, .items = {15 * kUnit, 20 * kUnit, 7 * kUnit}, .expect = 5, .able = kRescaled});
}

TEST(HpaTest, EmptyItemListIsAnErrorNotZero) {
  Check({.id = "P27", .start = 5, .items = {}, .expect = 5, .able = kGot});
}

TEST(HpaTest, ObjectMetricsDecideAsExternalOnes) {
  for (const bool average : {true, false}) {
    Spec spec;
    spec.max_replicas = 100;
    MetricSpec m = External(average ? 10 : 40, average ? TargetType::kAverageValue : TargetType::kValue);
    m.source = SourceType::kObject;
    spec.metrics = {m};
    Controller controller(spec, {});
    const SyncResult r = controller.Sync(0, {4, 4, 4}, [](const MetricSpec&) { return Items({60 * kUnit}); });
    EXPECT_EQ(r.desired, 6) << (average ? "P43" : "P44");
  }
}

PodReading Pod(PodPhase phase, std::optional<int64_t> value) {
  return {phase, value ? std::optional<int64_t>(*value * kUnit) : std::nullopt};
}

SyncResult SyncPods(int32_t start, std::vector<PodReading> pods, std::optional<Behavior> behavior) {
  Spec spec;
  spec.max_replicas = 100;
  MetricSpec m = External(10);
  m.source = SourceType::kPods;
  spec.metrics = {m};
  spec.behavior = std::move(behavior);
  Controller controller(spec, {});
  return controller.Sync(0, {start, start, start}, [&](const MetricSpec&) {
    Reading r;
    r.pods = pods;
    return r;
  });
}

TEST(HpaTest, PendingPodsDampenScaleUp) {
  const PodReading pending = Pod(PodPhase::kPending, std::nullopt);
  const auto ready = [](int64_t v) { return Pod(PodPhase::kReady, v); };
  EXPECT_EQ(SyncPods(4, {ready(15), ready(15), ready(15), pending}, {}).desired, 5) << "P17";
  const SyncResult kept = SyncPods(4, {ready(13), ready(13), ready(13), pending}, {});
  EXPECT_EQ(kept.desired, 4) << "P18";
  EXPECT_EQ(kept.able_to_scale.reason, kReady);
}

TEST(HpaTest, MissingPodsCountAgainstTheDirection) {
  const PodReading missing = Pod(PodPhase::kReady, std::nullopt);
  const auto ready = [](int64_t v) { return Pod(PodPhase::kReady, v); };
  EXPECT_EQ(SyncPods(5, {ready(5), ready(5), ready(5), missing, missing}, NoDownWindow()).desired, 4) << "P19";
  EXPECT_EQ(SyncPods(5, {ready(20), ready(20), ready(20), missing, missing}, {}).desired, 6) << "P20";
}

TEST(HpaTest, DeletedAndFailedPodsAreIgnored) {
  EXPECT_EQ(SyncPods(3, {Pod(PodPhase::kReady, 20), Pod(PodPhase::kReady, 20), Pod(PodPhase::kDeleting, 50), Pod(PodPhase::kFailed, 99)}, {}).desired, 4) << "P21";
}

SyncResult SyncTwo(Reading a, Reading b, std::optional<Behavior> behavior) {
  Spec spec;
  spec.max_replicas = 100;
  spec.metrics = {External(10, TargetType::kAverageValue, "a"), External(10, TargetType::kAverageValue, "b")};
  spec.behavior = std::move(behavior);
  Controller controller(spec, {});
  return controller.Sync(0, {5, 5, 5}, [&](const MetricSpec& m) { return m.name == "a" ? a : b; });
}

TEST(HpaTest, TheLargestProposalOfSeveralMetricsWins) {
  const SyncResult r = SyncTwo(Items({60 * kUnit}), Items({90 * kUnit}), {});
  EXPECT_EQ(r.desired, 9) << "P23";
  EXPECT_EQ(r.rescale_reason, "external metric b above target");
}

TEST(HpaTest, PartialErrorsAllowUpAndBlockDown) {
  Reading error;
  error.status = absl::UnavailableError("no answer");
  EXPECT_EQ(SyncTwo(error, Items({90 * kUnit}), {}).desired, 9) << "P24";
  const SyncResult down = SyncTwo(error, Items({30 * kUnit}), NoDownWindow());
  EXPECT_EQ(down.desired, 5) << "P25";
  EXPECT_EQ(down.able_to_scale.reason, kGot);
  EXPECT_FALSE(down.scaling_active.status);
  EXPECT_EQ(down.scaling_active.reason, "FailedGetExternalMetric");
  EXPECT_EQ(down.error, "no answer");
  const SyncResult within = SyncTwo(error, Items({52 * kUnit}), {});
  EXPECT_EQ(within.desired, 5) << "P26";
  EXPECT_EQ(within.able_to_scale.reason, kReady);
  EXPECT_TRUE(within.scaling_active.status);
}

TEST(HpaTest, ManualZeroStaysZeroWithTheGateToo) {
  Spec spec;
  spec.min_replicas = 0;
  spec.max_replicas = 100;
  spec.metrics = {External(10)};
  Controller controller(spec, {.scale_to_zero = true});
  const SyncResult r = controller.Sync(0, {0, 0, 0}, [](const MetricSpec&) { return Items({7 * kUnit}); });
  EXPECT_EQ(r.desired, 0) << "P45";
  EXPECT_EQ(r.able_to_scale.reason, kGot);
  EXPECT_EQ(r.scaling_active.reason, "ScalingDisabled");
}

TEST(QuantityTest, ReadsAndWritesCanonicalText) {
  EXPECT_EQ(*ParseQuantityMilli("0.0001"), 1);
  EXPECT_EQ(*ParseQuantityMilli("2350m"), 2350);
  EXPECT_EQ(*ParseQuantityMilli("12"), 12000);
  EXPECT_EQ(*ParseQuantityMilli("1k"), 1'000'000);
  EXPECT_EQ(*ParseQuantityMilli("0.5"), 500);
  EXPECT_EQ(*ParseQuantityMilli("1e3"), 1'000'000);
  EXPECT_EQ(*ParseQuantityMilli("10Ki"), 10'240'000);
  EXPECT_EQ(*ParseQuantityMilli("-5"), -5000);
  for (const char* bad : {"", "x", "1.2.3", "1x", "1e", "--1", "1 "}) EXPECT_FALSE(ParseQuantityMilli(bad).ok()) << bad;
  EXPECT_EQ(FormatQuantityMilli(10'000), "10");
  EXPECT_EQ(FormatQuantityMilli(1'000'000), "1k");
  EXPECT_EQ(FormatQuantityMilli(1'500'000), "1500");
  EXPECT_EQ(FormatQuantityMilli(100), "100m");
  EXPECT_EQ(FormatQuantityMilli(-2500), "-2500m");
  EXPECT_EQ(FormatQuantityMilli(0), "0");
  EXPECT_EQ(FormatQuantityMilli(1234567891), "1234567891m");
}

}  // namespace
}  // namespace wheelpit::hpa
