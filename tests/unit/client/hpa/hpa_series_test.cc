// Series of syncs every 15 s, as the real controller (v1.36.3) ran them under a virtual clock.
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/hpa/hpa.h"
#include "gtest/gtest.h"

namespace wheelpit::hpa {
namespace {

Behavior EmptyBehavior() { return {DefaultScaleUpRules(), DefaultScaleDownRules()}; }

struct Series {
  Spec spec;
  Options options;
  int32_t start = 0;
  std::map<int, int64_t> values;    // from this second on
  std::map<int, int32_t> manual;    // someone sets the replicas just before this sync
  std::map<int, int32_t> statuses;  // status.replicas at this second alone
  int until_s = 600;
};

MetricSpec Target(int64_t target) {
  MetricSpec m;
  m.name = "m";
  m.target_milli = target * 1000;
  return m;
}

Series Make(int32_t start, std::map<int, int64_t> values, int32_t max = 100, int64_t target = 10) {
  Series s;
  s.spec.max_replicas = max;
  s.spec.metrics = {Target(target)};
  s.start = start;
  s.values = std::move(values);
  return s;
}

// "0:1>4 15:4>8": the changes only.
std::string Changes(const Series& s, Controller* keep = nullptr) {
  Controller own(s.spec, s.options);
  Controller& controller = keep != nullptr ? *keep : own;
  int32_t replicas = s.start;
  std::string changes;
  for (int t = 0; t <= s.until_s; t += 15) {
    if (auto it = s.manual.find(t); it != s.manual.end()) replicas = it->second;
    const int64_t value = std::prev(s.values.upper_bound(t))->second * 1000;
    auto status = s.statuses.find(t);
    const Scale scale{replicas, status != s.statuses.end() ? status->second : replicas, replicas};
    const SyncResult r = controller.Sync(1000LL * t, scale, [&](const MetricSpec&) {
      Reading reading;
      reading.items_milli = {value};
      return reading;
    });
    if (r.rescaled) {
      absl::StrAppend(&changes, changes.empty() ? "" : " ", t, ":", replicas, ">", r.desired);
      replicas = r.desired;
    }
  }
  return changes;
}

TEST(HpaSeriesTest, LegacyDoublesEachSync) {
  EXPECT_EQ(Changes(Make(1, {{0, 200}}, 20)), "0:1>4 15:4>8 30:8>16 45:16>20") << "M01";
}

TEST(HpaSeriesTest, EmptyBehaviorUsesDefaultPolicies) {
  Series s = Make(1, {{0, 200}}, 20);
  s.spec.behavior = EmptyBehavior();
  EXPECT_EQ(Changes(s), "0:1>5 15:5>10 30:10>20") << "M02";
}

TEST(HpaSeriesTest, ScaleDownWaitsForTheLastHighWish) {
  EXPECT_EQ(Changes(Make(10, {{0, 100}, {30, 20}, {60, 100}, {90, 20}})), "390:10>2") << "M03";
  EXPECT_EQ(Changes(Make(10, {{0, 20}})), "315:10>2") << "M04";
}

TEST(HpaSeriesTest, UpWindowEdgeIsStrict) {
  Series s = Make(2, {{0, 20}, {15, 100}});
  s.spec.behavior = EmptyBehavior();
  s.spec.behavior->up.stabilization_seconds = 60;
  EXPECT_EQ(Changes(s), "60:2>6 75:6>10") << "M05";
}

TEST(HpaSeriesTest, DownPoliciesAreBoundedByTheirPeriods) {
  Series s = Make(40, {{0, 0}});
  s.spec.behavior = EmptyBehavior();
  s.spec.behavior->down.stabilization_seconds = 0;
  s.spec.behavior->down.policies = {{PolicyType::kPods, 5, 60}, {PolicyType::kPercent, 25, 60}};
  s.until_s = 135;
  EXPECT_EQ(Changes(s), "0:40>30 60:30>22 120:22>16") << "M06";
}

TEST(HpaSeriesTest, UpPoliciesAreBoundedByTheirPeriods) {
  Series s = Make(4, {{0, 100}});
  s.spec.behavior = EmptyBehavior();
  s.spec.behavior->up.policies = {{PolicyType::kPods, 2, 30}};
  EXPECT_EQ(Changes(s), "0:4>6 30:6>8 60:8>10") << "M07";
}

TEST(HpaSeriesTest, ScalesToZeroBehindItsGate) {
  Series s = Make(2, {{0, 20}, {30, 0}, {60, 30}, {90, 0}});
  s.spec.min_replicas = 0;
  s.options = {.downscale_stabilization_seconds = 60, .scale_to_zero = true};
  Controller controller(s.spec, s.options);
  s.until_s = 165;
  EXPECT_EQ(Changes(s, &controller), "60:2>3 150:3>0") << "M08";
}

TEST(HpaSeriesTest, LegacyUndoesManualScaleDown) {
  Series s = Make(10, {{0, 100}, {60, 30}});
  s.manual = {{60, 3}};
  s.until_s = 120;
  EXPECT_EQ(Changes(s), "60:3>6 75:6>10") << "M09";
  s.spec.behavior = EmptyBehavior();
  EXPECT_EQ(Changes(s), "") << "M10";
}

TEST(HpaSeriesTest, LegacyLiftsByAnOldCappedWish) {
  Series s = Make(24, {{0, 260}}, 50, 5);
  s.until_s = 60;
  EXPECT_EQ(Changes(s), "0:24>48 15:48>50") << "M11";
  s.spec.behavior = EmptyBehavior();
  EXPECT_EQ(Changes(s), "0:24>48") << "M12";
}

TEST(HpaSeriesTest, SurgePodsStayForGood) {
  Series s = Make(20, {{0, 200}});
  s.statuses = {{15, 22}};
  EXPECT_EQ(Changes(s), "15:20>22") << "M13";
}

}  // namespace
}  // namespace wheelpit::hpa
