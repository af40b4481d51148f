#include "adapter/kube/kube_config.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/small_file.h"
#include "base/status_macros.h"
#include "yaml-cpp/yaml.h"

namespace wheelpit::adapter {
namespace {

std::string Text(const YAML::Node& map, const char* key) {
  const YAML::Node node = map[key];
  return node.IsDefined() && node.IsScalar() ? node.Scalar() : "";
}

// The entry of that name in a list of {name, <what>: {…}}.
absl::StatusOr<YAML::Node> Named(const YAML::Node& root, const char* list, const char* what,
                                 const std::string& name) {
  const YAML::Node entries = root[list];
  if (entries.IsDefined() && entries.IsSequence()) {
    for (const YAML::Node& entry : entries) {
      if (!entry.IsMap() || Text(entry, "name") != name) continue;
      const YAML::Node value = entry[what];
      if (value.IsDefined() && value.IsMap()) return value;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("no ", what, " named \"", name, "\""));
}

// PEM from `KEY-data` (base64) or from the file that `KEY` names.
absl::Status ReadPem(const YAML::Node& map, const std::string& key, const std::string& folder,
                     std::string* out) {
  if (const std::string data = Text(map, (key + "-data").c_str()); !data.empty()) {
    if (!absl::Base64Unescape(data, out))
      return absl::InvalidArgumentError(absl::StrCat(key, "-data is not base64"));
    return absl::OkStatus();
  }
  std::string path = Text(map, key.c_str());
  if (path.empty()) return absl::OkStatus();
  if (path[0] != '/') path = absl::StrCat(folder, "/", path);
  WHEELPIT_ASSIGN_OR_RETURN(*out, ReadSmallFile(path));
  return absl::OkStatus();
}

absl::Status ReadUser(const YAML::Node& user, const std::string& folder, KubeConfig* config) {
  for (const char* helper : {"exec", "auth-provider"}) {
    if (user[helper].IsDefined()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the user logs in by ", helper, ", which is not offered: use a token, a ",
                       "token file or a client certificate"));
    }
  }
  WHEELPIT_RETURN_IF_ERROR(
      ReadPem(user, "client-certificate", folder, &config->certificate_pem));
  WHEELPIT_RETURN_IF_ERROR(ReadPem(user, "client-key", folder, &config->key_pem));
  config->token = Text(user, "token");
  config->token_file = Text(user, "tokenFile");
  if (!config->token_file.empty() && config->token_file[0] != '/')
    config->token_file = absl::StrCat(folder, "/", config->token_file);
  return absl::OkStatus();
}

absl::StatusOr<KubeConfig> Read(const YAML::Node& root, const std::string& folder) {
  if (!root.IsMap()) return absl::InvalidArgumentError("must be a map");
  WHEELPIT_ASSIGN_OR_RETURN(const YAML::Node context,
                            Named(root, "contexts", "context", Text(root, "current-context")));
  WHEELPIT_ASSIGN_OR_RETURN(const YAML::Node cluster,
                            Named(root, "clusters", "cluster", Text(context, "cluster")));
  KubeConfig config;
  config.server = Text(cluster, "server");
  if (config.server.empty()) return absl::InvalidArgumentError("the cluster has no server");
  config.server_name = Text(cluster, "tls-server-name");
  config.insecure = absl::AsciiStrToLower(Text(cluster, "insecure-skip-tls-verify")) == "true";
  WHEELPIT_RETURN_IF_ERROR(ReadPem(cluster, "certificate-authority", folder, &config.ca_pem));
  if (const std::string name = Text(context, "user"); !name.empty()) {
    WHEELPIT_ASSIGN_OR_RETURN(const YAML::Node user, Named(root, "users", "user", name));
    WHEELPIT_RETURN_IF_ERROR(ReadUser(user, folder, &config));
  }
  return config;
}

}  // namespace

absl::StatusOr<KubeConfig> InClusterConfig(
    const std::function<std::string(const char* name)>& environment, const std::string& folder) {
  const std::string host = environment("KUBERNETES_SERVICE_HOST");
  const std::string port = environment("KUBERNETES_SERVICE_PORT");
  if (host.empty() || port.empty()) {
    return absl::FailedPreconditionError(
        "not in a pod (KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set): name a "
        "kubeconfig file");
  }
  KubeConfig config;
  const bool v6 = host.find(':') != std::string::npos;
  config.server = absl::StrCat("https://", v6 ? "[" : "", host, v6 ? "]" : "", ":", port);
  config.token_file = folder + "/token";
  WHEELPIT_RETURN_IF_ERROR(ReadSmallFile(config.token_file).status());
  WHEELPIT_ASSIGN_OR_RETURN(config.ca_pem, ReadSmallFile(folder + "/ca.crt"));
  return config;
}

absl::StatusOr<KubeConfig> ReadKubeconfig(const std::string& path) {
  WHEELPIT_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path));
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash);
  absl::StatusOr<KubeConfig> config = absl::InternalError("");
  // yaml-cpp throws: boxed here.
  try {
    config = Read(YAML::Load(text), folder);
  } catch (const YAML::Exception& e) {
    config = absl::InvalidArgumentError(absl::StrCat("line ", e.mark.line + 1, ": ", e.msg));
  }
  if (config.ok()) return config;
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", config.status().message()));
}

}  // namespace wheelpit::adapter
