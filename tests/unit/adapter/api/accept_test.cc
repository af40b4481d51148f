#include "adapter/api/accept.h"

#include <gtest/gtest.h>

namespace wheelpit::adapter {
namespace {

using Kind = Negotiated::Kind;

TEST(AcceptTest, NegotiatesAsApiServersDo) {
  const std::string v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
  const std::string v2beta1 =
      "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
  const struct {
    std::string accept;
    bool aggregated;
    Kind kind;
    std::string version;
  } kCases[] = {
      {"", false, Kind::kJson, ""},
      {"*/*", false, Kind::kJson, ""},
      {"application/json", false, Kind::kJson, ""},
      {"Application/JSON; charset=utf-8", false, Kind::kJson, ""},
      {"application/vnd.kubernetes.protobuf, */*", false, Kind::kJson, ""},
      {"application/vnd.kubernetes.protobuf", false, Kind::kNotAcceptable, ""},
      {"text/html", false, Kind::kNotAcceptable, ""},
      {"application/json;q=0", false, Kind::kNotAcceptable, ""},
      {"application/json;as=Table;g=meta.k8s.io;v=v1", false, Kind::kNotAcceptable, ""},
      {"application/json;as=Table;g=meta.k8s.io;v=v1,application/json", false, Kind::kJson, ""},
      {v2 + "," + v2beta1, true, Kind::kAggregatedDiscovery, "v2"},
      {v2beta1, true, Kind::kAggregatedDiscovery, "v2beta1"},
      {v2 + ",application/json", true, Kind::kAggregatedDiscovery, "v2"},
      {"application/json," + v2, true, Kind::kJson, ""},
      {"application/json;q=0.5," + v2, true, Kind::kAggregatedDiscovery, "v2"},
      {v2, false, Kind::kNotAcceptable, ""},
      {"application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList", true,
       Kind::kNotAcceptable, ""},
  };
  for (const auto& c : kCases) {
    const Negotiated got = NegotiateAccept(c.accept, c.aggregated);
    EXPECT_EQ(got.kind, c.kind) << c.accept;
    EXPECT_EQ(got.version, c.version) << c.accept;
  }
}

}  // namespace
}  // namespace wheelpit::adapter
