#include "adapter/api/discovery.h"

#include <gtest/gtest.h>

namespace wheelpit::adapter {
namespace {

std::string Text(const Json& json) { return JsonText(json, false); }

TEST(DiscoveryTest, ListsAllThreeGroups) {
  EXPECT_EQ(
      Text(ApiGroupList("10.0.0.9:6443")),
      R"({"kind":"APIGroupList","groups":[)"
      R"({"name":"custom.metrics.k8s.io","versions":[{"groupVersion":"custom.metrics.k8s.io/v1beta1","version":"v1beta1"},)"
      R"({"groupVersion":"custom.metrics.k8s.io/v1beta2","version":"v1beta2"}],)"
      R"("preferredVersion":{"groupVersion":"custom.metrics.k8s.io/v1beta1","version":"v1beta1"},)"
      R"("serverAddressByClientCIDRs":[{"clientCIDR":"0.0.0.0/0","serverAddress":"10.0.0.9:6443"}]},)"
      R"({"name":"external.metrics.k8s.io","versions":[{"groupVersion":"external.metrics.k8s.io/v1beta1","version":"v1beta1"}],)"
      R"("preferredVersion":{"groupVersion":"external.metrics.k8s.io/v1beta1","version":"v1beta1"},)"
      R"("serverAddressByClientCIDRs":[{"clientCIDR":"0.0.0.0/0","serverAddress":"10.0.0.9:6443"}]},)"
      R"({"name":"metrics.k8s.io","versions":[{"groupVersion":"metrics.k8s.io/v1beta1","version":"v1beta1"}],)"
      R"("preferredVersion":{"groupVersion":"metrics.k8s.io/v1beta1","version":"v1beta1"},)"
      R"("serverAddressByClientCIDRs":[{"clientCIDR":"0.0.0.0/0","serverAddress":"10.0.0.9:6443"}]}]})"
      "\n");
}

TEST(DiscoveryTest, DescribesOneGroup) {
  EXPECT_EQ(
      Text(ApiGroup(ApiGroups()[1])),
      R"({"kind":"APIGroup","apiVersion":"v1","name":"external.metrics.k8s.io",)"
      R"("versions":[{"groupVersion":"external.metrics.k8s.io/v1beta1","version":"v1beta1"}],)"
      R"("preferredVersion":{"groupVersion":"external.metrics.k8s.io/v1beta1","version":"v1beta1"}})"
      "\n");
}

TEST(DiscoveryTest, ListsMetricsSorted) {
  EXPECT_EQ(
      Text(ApiResourceList(kExternalGroup, "v1beta1",
                           {ExternalResource("queue_depth"), ExternalResource("jobs_per_second")})),
      R"({"kind":"APIResourceList","apiVersion":"v1","groupVersion":"external.metrics.k8s.io/v1beta1","resources":[)"
      R"({"name":"jobs_per_second","singularName":"","namespaced":true,"kind":"ExternalMetricValueList","verbs":["get"]},)"
      R"({"name":"queue_depth","singularName":"","namespaced":true,"kind":"ExternalMetricValueList","verbs":["get"]}]})"
      "\n");
  EXPECT_EQ(
      Text(ApiResourceList(kCustomGroup, "v1beta2", {})),
      R"({"kind":"APIResourceList","apiVersion":"v1","groupVersion":"custom.metrics.k8s.io/v1beta2","resources":[]})"
      "\n");
}

TEST(DiscoveryTest, AggregatesWithoutMetricNames) {
  EXPECT_EQ(
      Text(AggregatedDiscovery("v2")),
      R"({"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","metadata":{},"items":[)"
      R"({"metadata":{"name":"custom.metrics.k8s.io"},"versions":[{"version":"v1beta1","freshness":"Current"},{"version":"v1beta2","freshness":"Current"}]},)"
      R"({"metadata":{"name":"external.metrics.k8s.io"},"versions":[{"version":"v1beta1","freshness":"Current"}]},)"
      R"({"metadata":{"name":"metrics.k8s.io"},"versions":[{"version":"v1beta1","freshness":"Current"}]}]})"
      "\n");
  EXPECT_NE(DiscoveryEtag(Text(AggregatedDiscovery("v2"))),
            DiscoveryEtag(Text(AggregatedDiscovery("v2beta1"))));
}

TEST(DiscoveryTest, KnowsItsVersions) {
  EXPECT_TRUE(HasVersion(kCustomGroup, "v1beta2"));
  EXPECT_FALSE(HasVersion(kExternalGroup, "v1beta2"));
  EXPECT_FALSE(HasVersion("apps", "v1"));
}

}  // namespace
}  // namespace wheelpit::adapter
