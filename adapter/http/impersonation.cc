#include "adapter/http/impersonation.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace wheelpit::adapter {
namespace {

constexpr char kExtraPrefix[] = "Impersonate-Extra-";
constexpr char kServiceAccount[] = "system:serviceaccount:";
constexpr char kAnonymous[] = "system:anonymous";
constexpr char kAuthenticated[] = "system:authenticated";
constexpr char kUnauthenticated[] = "system:unauthenticated";
constexpr char kAuthenticationGroup[] = "authentication.k8s.io";

// Namespace and name of a service account's user name; false if it is none.
bool SplitServiceAccount(absl::string_view user, std::string* name_space, std::string* name) {
  if (!absl::ConsumePrefix(&user, kServiceAccount)) return false;
  const std::vector<std::string> parts = absl::StrSplit(user, ':');
  if (parts.size() != 2 || parts[0].empty() || parts[1].empty()) return false;
  *name_space = parts[0];
  *name = parts[1];
  return true;
}

UserInfo Named(const HttpRequest& request) {
  UserInfo user;
  user.name = std::string(request.Header("Impersonate-User"));
  user.uid = std::string(request.Header("Impersonate-Uid"));
  for (const absl::string_view group : request.HeaderValues("Impersonate-Group"))
    user.groups.emplace_back(group);
  for (const auto& [header, value] : request.headers) {
    if (!absl::StartsWithIgnoreCase(header, kExtraPrefix)) continue;
    const std::string raw =
        absl::AsciiStrToLower(absl::string_view(header).substr(sizeof(kExtraPrefix) - 1));
    std::string key;
    if (!PercentDecode(raw, /*plus=*/false, &key)) key = raw;
    user.extra[key].push_back(value);
  }
  return user;
}

RequestAttributes Part(absl::string_view group, absl::string_view resource, absl::string_view name) {
  RequestAttributes part;
  part.verb = "impersonate";
  part.is_resource = true;
  part.group = std::string(group);
  part.version = "v1";
  part.resource = std::string(resource);
  part.name = std::string(name);
  return part;
}

std::vector<RequestAttributes> PartsOf(const UserInfo& user) {
  std::vector<RequestAttributes> parts;
  std::string name_space, name;
  if (SplitServiceAccount(user.name, &name_space, &name)) {
    parts.push_back(Part("", "serviceaccounts", name));
    parts.back().name_space = name_space;
  } else {
    parts.push_back(Part("", "users", user.name));
  }
  for (const std::string& group : user.groups) parts.push_back(Part("", "groups", group));
  for (const auto& [key, values] : user.extra) {
    for (const std::string& value : values) {
      parts.push_back(Part(kAuthenticationGroup, "userextras", value));
      parts.back().subresource = key;
    }
  }
  if (!user.uid.empty()) parts.push_back(Part(kAuthenticationGroup, "uids", user.uid));
  return parts;
}

// The groups that everyone of that kind is in.
void AddImpliedGroups(UserInfo* user) {
  std::string name_space, name;
  if (user->groups.empty() && SplitServiceAccount(user->name, &name_space, &name)) {
    user->groups = {"system:serviceaccounts", absl::StrCat("system:serviceaccounts:", name_space)};
  }
  const auto in = [&](absl::string_view group) {
    return std::find(user->groups.begin(), user->groups.end(), group) != user->groups.end();
  };
  if (user->name == kAnonymous) {
    if (!in(kUnauthenticated)) user->groups.emplace_back(kUnauthenticated);
  } else if (!in(kAuthenticated) && !in(kUnauthenticated)) {
    user->groups.emplace_back(kAuthenticated);
  }
}

}  // namespace

std::variant<UserInfo, ApiStatus> Impersonate(const HttpRequest& request, const UserInfo& user,
                                              Authorizer* authorizer) {
  UserInfo named = Named(request);
  if (named.name.empty()) {
    if (named.uid.empty() && named.groups.empty() && named.extra.empty()) return user;
    return InternalError("groups, a uid or extras are impersonated without a user");
  }
  for (const RequestAttributes& part : PartsOf(named)) {
    const absl::Status allowed = authorizer->Authorize(user, part);
    if (allowed.ok()) continue;
    if (absl::IsPermissionDenied(allowed)) return ForbiddenStatus(user, part, allowed.message());
    return AuthorizationFailed(request.target, allowed.message());
  }
  AddImpliedGroups(&named);
  return named;
}

ApiStatus ForbiddenStatus(const UserInfo& user, const RequestAttributes& attributes,
                          absl::string_view reason) {
  if (!attributes.is_resource)
    return ForbiddenPath(user.name, attributes.verb, attributes.path, reason);
  return ForbiddenResource(user.name, attributes.verb,
                           {attributes.group, attributes.resource, attributes.subresource,
                            attributes.name, attributes.name_space},
                           reason);
}

}  // namespace wheelpit::adapter
