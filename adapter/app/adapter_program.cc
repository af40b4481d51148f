#include "adapter/app/adapter_program.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "adapter/app/threads.h"
#include "adapter/source/aggregator_source.h"
#include "adapter/source/promql_source.h"
#include "adapter/source/sharing_source.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace wheelpit::adapter {
namespace {

// Prometheus' answers may take so long; the HPA's workers wait for them.
constexpr absl::Duration kQueryTimeout = absl::Seconds(10);

absl::Status For(absl::string_view flag, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(flag, ": ", status.message()));
}

// The pod's service account unless a file is named.
absl::StatusOr<KubeConfig> Login(absl::string_view flag, const std::string& path,
                                 const Environment& environment) {
  absl::StatusOr<KubeConfig> config =
      path.empty() ? InClusterConfig(environment) : ReadKubeconfig(path);
  if (!config.ok()) return For(flag, config.status());
  return config;
}

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  // An aggregator that comes back is found within a second.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // It may come back at another address, and its name says nothing while it is away.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000);
  arguments.SetInt(GRPC_ARG_DNS_ARES_QUERY_TIMEOUT_MS, 2000);
  // One that vanishes without a word is noticed.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

absl::StatusOr<PromqlSourceOptions> PrometheusOptions(const AdapterFlags& flags,
                                                      const Environment& environment) {
  PromqlSourceOptions options;
  options.url = flags.prometheus_url;
  options.post = flags.prometheus_verb == "POST";
  for (const auto& header : flags.prometheus_headers) options.headers.push_back(header);
  options.max_age = flags.metrics_max_age;
  if (flags.prometheus_auth_incluster || !flags.prometheus_auth_config.empty()) {
    WHEELPIT_ASSIGN_OR_RETURN(
        const KubeConfig login,
        Login(flags.prometheus_auth_incluster ? "--prometheus-auth-incluster"
                                              : "--prometheus-auth-config",
              flags.prometheus_auth_config, environment));
    options.ca_pem = login.ca_pem;
    options.insecure = login.insecure;
    options.token = login.token;
    options.token_file = login.token_file;
  }
  if (!flags.prometheus_ca_file.empty()) options.insecure = false;
  options.ca_file = flags.prometheus_ca_file;
  options.certificate_file = flags.prometheus_client_tls_cert_file;
  options.key_file = flags.prometheus_client_tls_key_file;
  if (!flags.prometheus_token_file.empty()) options.token_file = flags.prometheus_token_file;
  return options;
}

absl::StatusOr<DelegatedOptions> Delegation(const AdapterFlags& flags,
                                            const Environment& environment) {
  DelegatedOptions options;
  WHEELPIT_ASSIGN_OR_RETURN(options.authentication,
                            Login("--authentication-kubeconfig", flags.authentication_kubeconfig,
                                  environment));
  WHEELPIT_ASSIGN_OR_RETURN(
      options.authorization,
      Login("--authorization-kubeconfig", flags.authorization_kubeconfig, environment));
  DelegatedAuthOptions& auth = options.auth;
  auth.feed.client_ca_file = flags.client_ca_file;
  auth.feed.request_header_ca_file = flags.requestheader_client_ca_file;
  auth.feed.request_header.allowed_names = flags.requestheader_allowed_names;
  auth.feed.request_header.username_headers = flags.requestheader_username_headers;
  auth.feed.request_header.uid_headers = flags.requestheader_uid_headers;
  auth.feed.request_header.group_headers = flags.requestheader_group_headers;
  auth.feed.request_header.extra_header_prefixes = flags.requestheader_extra_headers_prefix;
  auth.feed.skip_lookup = flags.authentication_skip_lookup;
  auth.tolerate_lookup_failure = flags.authentication_tolerate_lookup_failure;
  auth.token_ttl = flags.authentication_token_ttl;
  auth.authorizer.always_allow_paths = flags.authorization_always_allow_paths;
  auth.authorizer.allowed_ttl = flags.authorization_allowed_ttl;
  auth.authorizer.denied_ttl = flags.authorization_denied_ttl;
  return options;
}

AdapterOptions ServingOptions(const AdapterFlags& flags, const std::string& version) {
  AdapterOptions options;
  options.host = flags.bind_address;
  options.port = flags.secure_port;
  options.certificate_file = flags.tls_cert_file;
  options.key_file = flags.tls_private_key_file;
  options.certificate_dir = flags.cert_dir;
  options.tls.tls13_only = flags.tls_min_version == "VersionTLS13";
  options.tls.cipher_suites = flags.tls_cipher_suites;
  options.rules.file = flags.config;
  // Built-in rules are about what an aggregator has.
  options.rules.builtin_rules =
      flags.builtin_rules && !flags.aggregators.empty() && !flags.strict_compat;
  options.rules.strict_compat = flags.strict_compat;
  options.rules.gateway_counters = flags.gateway_counters;
  options.query_timeout = kQueryTimeout;
  options.registry.relist_interval = flags.metrics_relist_interval;
  options.version = version;
  return options;
}

}  // namespace

absl::Status AdapterProgram::MakeSources(const AdapterFlags& flags,
                                         const Environment& environment) {
  if (!flags.aggregators.empty())
    aggregator_ = std::make_unique<SharingSource>(NewAggregatorSource(Connect(flags.aggregators[0])), &clock_);
  if (flags.prometheus_url.empty()) return absl::OkStatus();
  WHEELPIT_ASSIGN_OR_RETURN(PromqlSourceOptions options, PrometheusOptions(flags, environment));
  WHEELPIT_ASSIGN_OR_RETURN(auto prometheus, NewPromqlSource(std::move(options), &clock_));
  prometheus_ = std::make_unique<SharingSource>(std::move(prometheus), &clock_);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<AdapterProgram>> AdapterProgram::Start(
    const AdapterFlags& flags, const Environment& environment, const std::string& version) {
  std::unique_ptr<AdapterProgram> program(new AdapterProgram);
  for (const std::string& name : flags.ignored)
    Log(LogLevel::kInfo, "adapter_flag_without_effect", {{"flag", absl::StrCat("--", name)}});
  WHEELPIT_RETURN_IF_ERROR(program->MakeSources(flags, environment));
  AdapterOptions options = ServingOptions(flags, version);
  WHEELPIT_ASSIGN_OR_RETURN(options.delegated, Delegation(flags, environment));
  MetricSources sources;
  sources.aggregator = program->aggregator_.get();
  sources.prometheus = program->prometheus_.get();
  WHEELPIT_ASSIGN_OR_RETURN(
      program->server_,
      AdapterServer::Start(std::move(options), sources, NamedThreads(), &program->clock_));
  return program;
}

}  // namespace wheelpit::adapter
