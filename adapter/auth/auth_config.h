// The settings of authentication that the cluster publishes, and those that files give instead.
//
// Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "adapter/auth/client_ca.h"
#include "base/sync.h"

namespace wheelpit::adapter {

// What the front proxy must show, and in which headers it says whom it speaks for.
struct RequestHeaderConfig {
  std::shared_ptr<const ClientCa> ca;
  // Common names; empty = any that the CA has signed.
  std::vector<std::string> allowed_names;
  std::vector<std::string> username_headers;
  std::vector<std::string> uid_headers;
  std::vector<std::string> group_headers;
  std::vector<std::string> extra_header_prefixes;
};

// Null: that method is off.
struct AuthConfig {
  std::shared_ptr<const ClientCa> client_ca;
  std::shared_ptr<const RequestHeaderConfig> request_header;
};

// From the data of the ConfigMap kube-system/extension-apiserver-authentication. kInvalidArgument:
// a key is not what it should be.
absl::StatusOr<AuthConfig> AuthConfigFromMap(const std::map<std::string, std::string>& data);

// The configuration now: replaced whole.
class LiveAuthConfig {
 public:
  AuthConfig Get() const {
    MutexLock lock(&mu_);
    return config_;
  }
  void Set(AuthConfig config) {
    MutexLock lock(&mu_);
    config_ = std::move(config);
  }

 private:
  mutable Mutex mu_;
  AuthConfig config_ ABSL_GUARDED_BY(mu_);
};

}  // namespace wheelpit::adapter
