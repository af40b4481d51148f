// Who asks, and may they? Interfaces of the door and its first lock, one bearer token.
//
// Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/http/http_types.h"

namespace wheelpit::adapter {

struct UserInfo {
  std::string name;
  std::string uid;
  std::vector<std::string> groups;
  std::map<std::string, std::vector<std::string>> extra;
};

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // May block. kUnauthenticated: 401.
  virtual absl::StatusOr<UserInfo> Authenticate(const HttpRequest& request) = 0;
};

// What a request wants to do, in Kubernetes' words: a resource, or else a path.
struct RequestAttributes {
  // Lower-case HTTP method for paths; get, list or watch for resources.
  std::string verb;
  std::string path;
  bool is_resource = false;
  std::string group, version, name_space, resource, subresource, name;
};

class Authorizer {
 public:
  virtual ~Authorizer() = default;
  // Whether this is open to everyone, so that nobody need say who they are. Never blocks.
  virtual bool AllowsAnyone(const RequestAttributes& attributes) const = 0;
  // May block. kPermissionDenied: 403, the message is the reason (may be empty). Anything else:
  // 500.
  virtual absl::Status Authorize(const UserInfo& user, const RequestAttributes& attributes) = 0;
};

// `Authorization: Bearer TOKEN` with this token, compared in constant time; everything else is
// refused.
std::unique_ptr<Authenticator> NewStaticTokenAuthenticator(std::string token, UserInfo user);

// Everyone who was authenticated may do everything; health is everyone's business.
std::unique_ptr<Authorizer> NewAllowAllAuthorizer();

}  // namespace wheelpit::adapter
