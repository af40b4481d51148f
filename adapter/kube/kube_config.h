// Where the Kubernetes API server is and with what we show who we are.
//
//   WHEELPIT_ASSIGN_OR_RETURN(KubeConfig config, path.empty() ? InClusterConfig(GetEnv) :
//   ReadKubeconfig(path));
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wheelpit::adapter {

struct KubeConfig {
  // https://host:port, perhaps with a path.
  std::string server;
  // PEM; empty = the system's.
  std::string ca_pem;
  bool insecure = false;
  // Instead of the host, for the certificate's check.
  std::string server_name;
  std::string certificate_pem;
  std::string key_pem;
  // A fixed token, or a file that is read again for each call: the cluster replaces it hourly.
  std::string token;
  std::string token_file;
};

inline constexpr char kServiceAccountFolder[] = "/var/run/secrets/kubernetes.io/serviceaccount";

// The pod's service account, by KUBERNETES_SERVICE_HOST and _PORT. kFailedPrecondition: not in a
// pod.
absl::StatusOr<KubeConfig> InClusterConfig(
    const std::function<std::string(const char* name)>& environment,
    const std::string& folder = kServiceAccountFolder);

// The file's current context. Relative paths in it start at its folder. kInvalidArgument: it does
// not parse, lacks something or logs in by a helper program, which is not offered.
absl::StatusOr<KubeConfig> ReadKubeconfig(const std::string& path);

}  // namespace wheelpit::adapter
