#include "client/hpa/manifest.h"

#include <fstream>
#include <sstream>

#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace wheelpit::hpa {
namespace {

using ::testing::HasSubstr;

constexpr char kManifest[] = R"(
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: heavywork, namespace: shop}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: worker}
  minReplicas: 2
  maxReplicas: 8
  metrics:
  - type: External
    external:
      metric:
        name: heavywork_requests_per_second
        selector:
          matchLabels: {zone: b, queue: q}
          matchExpressions: [{key: tier, operator: In, values: [y, x]}]
      target: {type: AverageValue, averageValue: "10"}
  behavior:
    scaleDown: {stabilizationWindowSeconds: 15}
)";

TEST(ManifestTest, TheNeededWorkersExampleFollowsTheMetricExactly) {
  std::ifstream file(WHEELPIT_SOURCE_DIR "/k8s/examples/hpa-needed-workers.yaml");
  ASSERT_TRUE(file.is_open());
  std::stringstream text;
  text << file.rdbuf();
  const auto spec = ParseManifest(text.str());
  ASSERT_TRUE(spec.ok()) << spec.status();
  ASSERT_EQ(spec->metrics.size(), 1u);
  EXPECT_EQ(spec->metrics[0].name, "wheelpit_queue_needed_workers");
  EXPECT_EQ(spec->metrics[0].selector, "queue=heavywork");
  EXPECT_EQ(spec->metrics[0].target_milli, 1000);
  ASSERT_TRUE(spec->behavior.has_value());
  EXPECT_EQ(spec->behavior->up.tolerance, 0.0);
  EXPECT_EQ(spec->behavior->down.stabilization_seconds, 120);
}

TEST(ManifestTest, ReadsTheFirstAutoscalerOfTheFile) {
  const auto spec = ParseManifest(kManifest);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->name, "heavywork");
  EXPECT_EQ(spec->namespace_name, "shop");
  EXPECT_EQ(spec->target_name, "worker");
  EXPECT_EQ(spec->min_replicas, 2);
  EXPECT_EQ(spec->max_replicas, 8);
  ASSERT_EQ(spec->metrics.size(), 1u);
  EXPECT_EQ(spec->metrics[0].selector, "queue=q,tier in (x,y),zone=b");
  EXPECT_EQ(spec->metrics[0].target_milli, 10'000);
  ASSERT_TRUE(spec->behavior.has_value());
  EXPECT_EQ(spec->behavior->down.stabilization_seconds, 15);
  EXPECT_EQ(spec->behavior->down.policies.size(), 1u);
  EXPECT_EQ(spec->behavior->up.policies.size(), 2u);
}

TEST(ManifestTest, AbsentBehaviorStaysAbsent) {
  const std::string text = std::string(kManifest).substr(0, std::string(kManifest).find("  behavior"));
  const auto spec = ParseManifest(text);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_FALSE(spec->behavior.has_value());
}

TEST(ManifestTest, ErrorsNameTheFieldAndWhatItMayBe) {
  const struct {
    const char* from;
    const char* to;
    const char* expect;
  } cases[] = {
      {"autoscaling/v2", "autoscaling/v1", "apiVersion: must be autoscaling/v2"},
      {"maxReplicas: 8", "maxReplicas: 0", "spec.maxReplicas: must be 1.."},
      {"maxReplicas: 8", "maxReplicas: 1", "must not be below minReplicas"},
      {"maxReplicas: 8", "maxReplica: 8", "unknown; known are"},
      {"type: External", "type: Resource", "is not offered"},
      {"averageValue: \"10\"", "averageValue: \"0\"", "must be positive"},
      {"averageValue: \"10\"", "averageValue: ten", "is no quantity"},
      {"stabilizationWindowSeconds: 15", "stabilizationWindowSeconds: 3601", "must be 0..3600"},
      {"kind: HorizontalPodAutoscaler", "kind: Deployment", "holds no document"},
      {"spec:\n", "spec: [\n", "manifest: "},
  };
  for (const auto& c : cases) {
    const auto spec = ParseManifest(absl::StrReplaceAll(kManifest, {{c.from, c.to}}));
    ASSERT_FALSE(spec.ok()) << c.to;
    EXPECT_THAT(std::string(spec.status().message()), HasSubstr(c.expect)) << c.to;
  }
}

}  // namespace
}  // namespace wheelpit::hpa
