#include "adapter/api/discovery.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/crc32c.h"

namespace wheelpit::adapter {
namespace {

void AddVersions(const ApiGroupInfo& group, Json* out) {
  const auto version_of = [&](const std::string& version) {
    Json object;
    object["groupVersion"] = absl::StrCat(group.name, "/", version);
    object["version"] = version;
    return object;
  };
  (*out)["versions"] = Json::array();
  for (const std::string& version : group.versions)
    (*out)["versions"].push_back(version_of(version));
  (*out)["preferredVersion"] = version_of(group.versions[0]);
}

}  // namespace

const std::vector<ApiGroupInfo>& ApiGroups() {
  static const auto* const groups =
      new std::vector<ApiGroupInfo>{{kCustomGroup, {"v1beta1", "v1beta2"}},
                                    {kExternalGroup, {"v1beta1"}},
                                    {kResourceGroup, {"v1beta1"}}};
  return *groups;
}

bool HasVersion(absl::string_view group, absl::string_view version) {
  for (const ApiGroupInfo& info : ApiGroups()) {
    if (info.name == group)
      return std::find(info.versions.begin(), info.versions.end(), version) != info.versions.end();
  }
  return false;
}

Json ApiGroupList(absl::string_view server_address) {
  Json list;
  list["kind"] = "APIGroupList";
  list["groups"] = Json::array();
  for (const ApiGroupInfo& info : ApiGroups()) {
    Json group;
    group["name"] = info.name;
    AddVersions(info, &group);
    Json address;
    address["clientCIDR"] = "0.0.0.0/0";
    address["serverAddress"] = std::string(server_address);
    group["serverAddressByClientCIDRs"] = Json::array({address});
    list["groups"].push_back(std::move(group));
  }
  return list;
}

Json ApiGroup(const ApiGroupInfo& info) {
  Json group;
  group["kind"] = "APIGroup";
  group["apiVersion"] = "v1";
  group["name"] = info.name;
  AddVersions(info, &group);
  return group;
}

ApiResource ExternalResource(absl::string_view metric) {
  return {std::string(metric), true, "ExternalMetricValueList", {"get"}};
}

Json ApiResourceList(absl::string_view group, absl::string_view version,
                     std::vector<ApiResource> resources) {
  std::sort(resources.begin(), resources.end(),
            [](const ApiResource& a, const ApiResource& b) { return a.name < b.name; });
  Json list;
  list["kind"] = "APIResourceList";
  list["apiVersion"] = "v1";
  list["groupVersion"] = absl::StrCat(group, "/", version);
  list["resources"] = Json::array();
  for (const ApiResource& resource : resources) {
    Json object;
    object["name"] = resource.name;
    object["singularName"] = "";
    object["namespaced"] = resource.namespaced;
    object["kind"] = resource.kind;
    object["verbs"] = resource.verbs;
    list["resources"].push_back(std::move(object));
  }
  return list;
}

Json AggregatedDiscovery(absl::string_view version) {
  Json list;
  list["kind"] = "APIGroupDiscoveryList";
  list["apiVersion"] = absl::StrCat("apidiscovery.k8s.io/", version);
  list["metadata"] = Json::object();
  list["items"] = Json::array();
  for (const ApiGroupInfo& info : ApiGroups()) {
    Json group;
    group["metadata"]["name"] = info.name;
    group["versions"] = Json::array();
    for (const std::string& name : info.versions) {
      Json entry;
      entry["version"] = name;
      entry["freshness"] = "Current";
      group["versions"].push_back(std::move(entry));
    }
    list["items"].push_back(std::move(group));
  }
  return list;
}

std::string DiscoveryEtag(absl::string_view body) {
  return absl::StrFormat("\"%08X%08X\"", Crc32c(body), body.size());
}

Json OpenApiV2(absl::string_view server_version) {
  Json document;
  document["swagger"] = "2.0";
  document["info"]["title"] = "Wheelpit metrics APIs";
  document["info"]["version"] = std::string(server_version);
  document["paths"] = Json::object();
  return document;
}

Json OpenApiV3() {
  Json document;
  document["paths"] = Json::object();
  return document;
}

Json RootPaths() {
  std::vector<std::string> paths = {
      "/apis",        "/healthz",    "/healthz/ping", "/livez",       "/livez/ping", "/metrics",
      "/openapi/v2",  "/openapi/v3", "/readyz",       "/readyz/ping", "/version"};
  for (const ApiGroupInfo& info : ApiGroups()) {
    paths.push_back(absl::StrCat("/apis/", info.name));
    for (const std::string& version : info.versions)
      paths.push_back(absl::StrCat("/apis/", info.name, "/", version));
  }
  std::sort(paths.begin(), paths.end());
  Json object;
  object["paths"] = paths;
  return object;
}

}  // namespace wheelpit::adapter
