// Which groups, versions and metrics there are. Pure: the caller knows the metrics.
//
// All three metrics groups are always there, with an empty list where nothing is served: an
// APIService that points at a missing group would break discovery for the whole cluster.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "adapter/api/json_text.h"

namespace wheelpit::adapter {

inline constexpr char kCustomGroup[] = "custom.metrics.k8s.io";
inline constexpr char kExternalGroup[] = "external.metrics.k8s.io";
inline constexpr char kResourceGroup[] = "metrics.k8s.io";

struct ApiGroupInfo {
  std::string name;
  // The first is preferred.
  std::vector<std::string> versions;
};

// The three, by name.
const std::vector<ApiGroupInfo>& ApiGroups();
bool HasVersion(absl::string_view group, absl::string_view version);

// `GET /apis`; `server_address` is host:port.
Json ApiGroupList(absl::string_view server_address);
// `GET /apis/GROUP`.
Json ApiGroup(const ApiGroupInfo& group);

struct ApiResource {
  std::string name;
  bool namespaced = true;
  std::string kind;
  std::vector<std::string> verbs;
};
ApiResource ExternalResource(absl::string_view metric);

// `GET /apis/GROUP/VERSION`; sorted by name here.
Json ApiResourceList(absl::string_view group, absl::string_view version,
                     std::vector<ApiResource> resources);

// Aggregated discovery: groups and versions without their thousands of metric names. `version` is
// v2 or v2beta1.
Json AggregatedDiscovery(absl::string_view version);
// Of that document, quoted.
std::string DiscoveryEtag(absl::string_view body);

// `GET /openapi/v2`, `GET /openapi/v3`: valid, and without a path. kube-apiserver asks for them every
// minute and logs an error each time when the first is not there.
Json OpenApiV2(absl::string_view server_version);
Json OpenApiV3();

// `{"paths":[…]}`, for `/` and unknown paths.
Json RootPaths();

}  // namespace wheelpit::adapter
