// wheelpit-adapter's command line, in prometheus-adapter's manner: `--x=v`, `--x v`, booleans
// without a value, an unknown flag is an error that names the nearest one. Flags of
// prometheus-adapter that mean nothing here are accepted.
//
// Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace wheelpit::adapter {

struct AdapterFlags {
  // Sources.
  std::vector<std::string> aggregators;
  std::string prometheus_url;  // set, or the default if there is no aggregator
  bool prometheus_auth_incluster = false;
  std::string prometheus_auth_config;
  std::string prometheus_ca_file;
  std::string prometheus_client_tls_cert_file;
  std::string prometheus_client_tls_key_file;
  std::string prometheus_token_file;
  std::vector<std::pair<std::string, std::string>> prometheus_headers;
  std::string prometheus_verb = "GET";
  // Rules.
  std::string config;
  bool builtin_rules = true;
  std::vector<std::string> gateway_counters;
  bool strict_compat = false;
  // Of 0 the default has been made.
  absl::Duration metrics_relist_interval;
  absl::Duration metrics_max_age;
  // Serving.
  int secure_port = 6443;
  std::string bind_address = "0.0.0.0";
  std::string cert_dir = "apiserver.local.config/certificates";
  std::string tls_cert_file;
  std::string tls_private_key_file;
  std::string tls_min_version;
  std::vector<std::string> tls_cipher_suites;
  absl::Duration shutdown_delay = absl::Seconds(5);
  // Who may ask.
  std::string authentication_kubeconfig;
  bool authentication_skip_lookup = false;
  bool authentication_tolerate_lookup_failure = false;
  absl::Duration authentication_token_ttl = absl::Seconds(10);
  std::string client_ca_file;
  std::string requestheader_client_ca_file;
  std::vector<std::string> requestheader_allowed_names;
  std::vector<std::string> requestheader_username_headers = {"x-remote-user"};
  std::vector<std::string> requestheader_uid_headers;
  std::vector<std::string> requestheader_group_headers = {"x-remote-group"};
  std::vector<std::string> requestheader_extra_headers_prefix = {"x-remote-extra-"};
  std::string authorization_kubeconfig;
  std::vector<std::string> authorization_always_allow_paths = {"/healthz", "/readyz", "/livez"};
  absl::Duration authorization_allowed_ttl = absl::Seconds(10);
  absl::Duration authorization_denied_ttl = absl::Seconds(10);
  // Others.
  int verbosity = 0;
  bool check_config = false;
  bool help = false;
  bool version = false;
  // Flags that were given and mean nothing here, to be told of in the log.
  std::vector<std::string> ignored;
};

// `arguments` without the program's name. kInvalidArgument: the message is for people. With help,
// version or check_config the rest is not checked.
absl::StatusOr<AdapterFlags> ParseAdapterFlags(const std::vector<std::string>& arguments);

// One line a flag: name, default, meaning.
std::string AdapterFlagsHelp();

}  // namespace wheelpit::adapter
