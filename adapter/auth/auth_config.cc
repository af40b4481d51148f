#include "adapter/auth/auth_config.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace wheelpit::adapter {
namespace {

using Data = std::map<std::string, std::string>;

// A key's JSON array of strings; missing or empty = none.
absl::StatusOr<std::vector<std::string>> Names(const Data& data, const std::string& key) {
  std::vector<std::string> names;
  const auto it = data.find(key);
  if (it == data.end() || it->second.empty()) return names;
  const auto json = nlohmann::json::parse(it->second, nullptr, /*allow_exceptions=*/false);
  if (!json.is_array())
    return absl::InvalidArgumentError(absl::StrCat(key, ": must be a JSON array of strings"));
  for (const auto& name : json) {
    if (!name.is_string())
      return absl::InvalidArgumentError(absl::StrCat(key, ": must be a JSON array of strings"));
    names.push_back(name.get<std::string>());
  }
  return names;
}

absl::StatusOr<std::shared_ptr<const ClientCa>> Ca(const Data& data, const std::string& key) {
  const auto it = data.find(key);
  if (it == data.end() || it->second.empty()) return std::shared_ptr<const ClientCa>();
  auto ca = ClientCa::Create(it->second);
  if (!ca.ok()) return absl::InvalidArgumentError(absl::StrCat(key, ": ", ca.status().message()));
  return ca;
}

}  // namespace

absl::StatusOr<AuthConfig> AuthConfigFromMap(const Data& data) {
  AuthConfig config;
  WHEELPIT_ASSIGN_OR_RETURN(config.client_ca, Ca(data, "client-ca-file"));
  auto proxy = std::make_shared<RequestHeaderConfig>();
  WHEELPIT_ASSIGN_OR_RETURN(proxy->ca, Ca(data, "requestheader-client-ca-file"));
  WHEELPIT_ASSIGN_OR_RETURN(proxy->allowed_names, Names(data, "requestheader-allowed-names"));
  WHEELPIT_ASSIGN_OR_RETURN(proxy->username_headers, Names(data, "requestheader-username-headers"));
  WHEELPIT_ASSIGN_OR_RETURN(proxy->uid_headers, Names(data, "requestheader-uid-headers"));
  WHEELPIT_ASSIGN_OR_RETURN(proxy->group_headers, Names(data, "requestheader-group-headers"));
  WHEELPIT_ASSIGN_OR_RETURN(proxy->extra_header_prefixes,
                            Names(data, "requestheader-extra-headers-prefix"));
  if (proxy->ca != nullptr) config.request_header = std::move(proxy);
  return config;
}

}  // namespace wheelpit::adapter
