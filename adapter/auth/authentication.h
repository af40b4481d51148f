// The ways to say who one is, and all of them in their order.
//
// Thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "adapter/auth/auth_config.h"
#include "adapter/http/auth.h"
#include "base/clock.h"

namespace wheelpit::adapter {

class AuthenticationMethod {
 public:
  virtual ~AuthenticationMethod() = default;
  // Nothing: the request does not speak this way. An error: it does, but it is not believed.
  virtual absl::StatusOr<std::optional<UserInfo>> Try(const HttpRequest& request) = 0;
};

// A front proxy (kube-apiserver) that has authenticated the user: its certificate, then its
// headers. All arguments outlive what is made.
std::unique_ptr<AuthenticationMethod> NewRequestHeaderMethod(const LiveAuthConfig* config,
                                                             const Clock* clock);
// The user's own certificate: common name and organizations are user and groups.
std::unique_ptr<AuthenticationMethod> NewClientCertificateMethod(const LiveAuthConfig* config,
                                                                 const Clock* clock);

// The first method that knows the user; then every user is in system:authenticated. If none does:
// kUnauthenticated if any disbelieved, else the anonymous user.
std::unique_ptr<Authenticator> NewMethodsAuthenticator(
    std::vector<std::unique_ptr<AuthenticationMethod>> methods);

}  // namespace wheelpit::adapter
