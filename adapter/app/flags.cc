#include "adapter/app/flags.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "adapter/app/flag_table.h"
#include "base/http/url.h"
#include "base/status_macros.h"

namespace wheelpit::adapter {
namespace {

constexpr char kDefaultPrometheus[] = "https://localhost";
constexpr absl::Duration kMaxAgeMin = absl::Minutes(10);
// An aggregator answers from memory; a Prometheus server searches its blocks.
constexpr absl::Duration kRelist = absl::Seconds(30);
constexpr absl::Duration kRelistOfPrometheusAdapter = absl::Minutes(10);

void AddSources(AdapterFlags* f, FlagTable* t) {
  t->AddList("aggregator", "gRPC address (host:port) of the aggregator to ask; exactly one.",
             &f->aggregators);
  t->AddString("prometheus-url",
               "Prometheus server to ask; may hold a path and a user. Default: none beside an "
               "aggregator, else https://localhost.",
               &f->prometheus_url);
  t->AddBool("prometheus-auth-incluster", "Show Prometheus the pod's service account.",
             &f->prometheus_auth_incluster);
  t->AddString("prometheus-auth-config", "kubeconfig file with which to log in to Prometheus.",
               &f->prometheus_auth_config);
  t->AddString("prometheus-ca-file", "CA of Prometheus' certificate (PEM), read again on change.",
               &f->prometheus_ca_file);
  t->AddString("prometheus-client-tls-cert-file", "Client certificate for Prometheus (PEM).",
               &f->prometheus_client_tls_cert_file);
  t->AddString("prometheus-client-tls-key-file", "Its key.", &f->prometheus_client_tls_key_file);
  t->AddString("prometheus-token-file", "File with a bearer token for Prometheus, read each time.",
               &f->prometheus_token_file);
  t->AddPairs("prometheus-header", "name=value: header for Prometheus; may be given repeatedly.",
              &f->prometheus_headers);
  t->AddString("prometheus-verb", "GET, or POST for all queries; long ones are posted anyway.",
               &f->prometheus_verb);
}

void AddRules(AdapterFlags* f, FlagTable* t) {
  t->AddString("config",
               "prometheus-adapter's rule file, followed while the adapter runs; not needed beside "
               "an aggregator.",
               &f->config);
  t->AddBool("check-config", "Say whether the file of --config is good, and exit.",
             &f->check_config);
  t->AddBool("builtin-rules", "Rules for queues and gateway counters; the file's win.",
             &f->builtin_rules);
  t->AddBool("strict-compat",
             "Do as prometheus-adapter does where this adapter does better: NaN, infinite and "
             "negative values are answered, errors lack their cause, names keep their case, no rule "
             "is built in, a namespaced rule must name its label, a failing seriesQuery stops the "
             "relist, nothing is looked up in between.",
             &f->strict_compat);
  t->AddList("gateway-counters",
             "Counters X_total that get a built-in metric X_per_second, separated by commas.",
             &f->gateway_counters);
  t->AddDuration("metrics-relist-interval",
                 "How often all rules look for new series; a name that is asked for is looked up "
                 "at once. 0: 30s beside an aggregator, else 10m.",
                 &f->metrics_relist_interval);
  t->AddDuration("metrics-max-age",
                 "Series without a sample for so long do not count. 0: the relist interval, but "
                 "10m at least.",
                 &f->metrics_max_age);
}

void AddServing(AdapterFlags* f, FlagTable* t) {
  t->AddInt("secure-port", "Port of HTTPS; 0 = any free one.", 0, 65535, &f->secure_port);
  t->AddString("bind-address", "Address to listen on.", &f->bind_address);
  t->AddString("cert-dir",
               "Folder of apiserver.crt and apiserver.key: used, else made there. Empty, or not "
               "writable: made in memory.",
               &f->cert_dir);
  t->AddString("tls-cert-file", "Serving certificate with its chain (PEM), read again on change.",
               &f->tls_cert_file);
  t->AddString("tls-private-key-file", "Its key.", &f->tls_private_key_file);
  t->AddString("tls-min-version", "VersionTLS12 or VersionTLS13.", &f->tls_min_version);
  t->AddList("tls-cipher-suites", "Suites for TLS 1.2 by their IANA names.",
             &f->tls_cipher_suites);
  t->AddDuration("shutdown-delay",
                 "After SIGTERM, /readyz fails but requests are answered for so long.",
                 &f->shutdown_delay);
}

void AddDelegation(AdapterFlags* f, FlagTable* t) {
  t->AddString("authentication-kubeconfig", "kubeconfig for TokenReview and the settings of "
               "authentication. Empty: the pod's service account.", &f->authentication_kubeconfig);
  t->AddBool("authentication-skip-lookup", "Do not read the cluster's settings of authentication.",
             &f->authentication_skip_lookup);
  t->AddBool("authentication-tolerate-lookup-failure", "Start even if they cannot be read.",
             &f->authentication_tolerate_lookup_failure);
  t->AddDuration("authentication-token-webhook-cache-ttl", "How long token reviews are remembered.",
                 &f->authentication_token_ttl);
  t->AddString("client-ca-file", "CA of client certificates, instead of the cluster's.",
               &f->client_ca_file);
  t->AddString("requestheader-client-ca-file",
               "CA of front proxies, instead of all that the cluster says of them.",
               &f->requestheader_client_ca_file);
  t->AddList("requestheader-allowed-names", "Common names of front proxies; empty = any.",
             &f->requestheader_allowed_names);
  t->AddList("requestheader-username-headers", "Headers of the user.",
             &f->requestheader_username_headers);
  t->AddList("requestheader-uid-headers", "Headers of the user's uid.",
             &f->requestheader_uid_headers);
  t->AddList("requestheader-group-headers", "Headers of the groups.",
             &f->requestheader_group_headers);
  t->AddList("requestheader-extra-headers-prefix", "Prefixes of headers with more of the user.",
             &f->requestheader_extra_headers_prefix);
  t->AddString("authorization-kubeconfig", "kubeconfig for SubjectAccessReview. Empty: the pod's "
               "service account.", &f->authorization_kubeconfig);
  t->AddList("authorization-always-allow-paths", "Paths that are open to everyone.",
             &f->authorization_always_allow_paths);
  t->AddDuration("authorization-webhook-cache-authorized-ttl", "How long a yes is remembered.",
                 &f->authorization_allowed_ttl);
  t->AddDuration("authorization-webhook-cache-unauthorized-ttl", "How long a no is remembered.",
                 &f->authorization_denied_ttl);
}

// prometheus-adapter's, klog's and older manifests' flags.
void AddAccepted(AdapterFlags* f, FlagTable* t) {
  t->AddIgnored({"lister-kubeconfig", "discovery-interval", "client-qps", "client-burst",
                 "tls-sni-cert-key", "http2-max-streams-per-connection", "debug-socket-path",
                 "vmodule", "log-flush-frequency", "stderrthreshold", "log-dir", "log-file",
                 "log-file-max-size", "log-backtrace-at", "logging-format", "rate-interval",
                 "label-prefix"},
                false, &f->ignored);
  t->AddIgnored({"permit-port-sharing", "permit-address-sharing", "disable-http2", "profiling",
                 "contention-profiling", "enable-priority-and-fairness", "logtostderr",
                 "alsologtostderr", "skip-headers", "skip-log-headers", "add-dir-header",
                 "one-output"},
                true, &f->ignored);
  std::vector<std::string> audit = {"audit-log-format",    "audit-log-maxage", "audit-log-maxbackup",
                                    "audit-log-maxsize",   "audit-log-mode",   "audit-log-path",
                                    "audit-log-version",   "audit-policy-file",
                                    "audit-webhook-config-file", "audit-webhook-initial-backoff",
                                    "audit-webhook-mode",  "audit-webhook-version"};
  std::vector<std::string> audit_bool = {"audit-log-compress"};
  for (const char* kind : {"audit-log", "audit-webhook"}) {
    for (const char* what :
         {"batch-buffer-size", "batch-max-size", "batch-max-wait", "batch-throttle-burst",
          "batch-throttle-qps", "truncate-max-batch-size", "truncate-max-event-size"})
      audit.push_back(absl::StrCat(kind, "-", what));
    for (const char* what : {"batch-throttle-enable", "truncate-enabled"})
      audit_bool.push_back(absl::StrCat(kind, "-", what));
  }
  t->AddIgnored(audit, false, &f->ignored);
  t->AddIgnored(audit_bool, true, &f->ignored);
}

void AddAll(AdapterFlags* f, FlagTable* t) {
  AddSources(f, t);
  AddRules(f, t);
  AddServing(f, t);
  AddDelegation(f, t);
  t->AddInt("v", "Log level: 0 as usual, 4 and more with details.", 0, 100, &f->verbosity);
  t->AddShorthand('v', "v");
  t->AddBool("help", "Print this and exit.", &f->help);
  t->AddShorthand('h', "help");
  t->AddBool("version", "Print the version and exit.", &f->version);
  AddAccepted(f, t);
}

absl::Status Check(AdapterFlags* f) {
  const auto bad = [](absl::string_view message) { return absl::InvalidArgumentError(message); };
  if (f->aggregators.size() > 1)
    return bad(absl::StrCat("--aggregator: ", f->aggregators.size(), " given, exactly one is taken"));
  if (f->aggregators.empty() && f->prometheus_url.empty()) f->prometheus_url = kDefaultPrometheus;
  if (f->aggregators.empty() && f->config.empty())
    return bad("--config is required without an --aggregator");
  if (!f->prometheus_url.empty()) {
    if (const auto url = ParseUrl(f->prometheus_url); !url.ok())
      return bad(absl::StrCat("--prometheus-url: ", url.status().message()));
  }
  if (f->prometheus_auth_incluster && !f->prometheus_auth_config.empty())
    return bad("--prometheus-auth-incluster and --prometheus-auth-config exclude each other");
  if (f->prometheus_verb != "GET" && f->prometheus_verb != "POST")
    return bad("--prometheus-verb must be GET or POST");
  if (f->tls_cert_file.empty() != f->tls_private_key_file.empty())
    return bad("--tls-cert-file and --tls-private-key-file go together");
  if (f->prometheus_client_tls_cert_file.empty() != f->prometheus_client_tls_key_file.empty())
    return bad("--prometheus-client-tls-cert-file and --prometheus-client-tls-key-file go together");
  if (!f->tls_min_version.empty() && f->tls_min_version != "VersionTLS12" &&
      f->tls_min_version != "VersionTLS13")
    return bad("--tls-min-version must be VersionTLS12 or VersionTLS13");
  if (f->metrics_relist_interval == absl::ZeroDuration()) {
    const bool as_prometheus_adapter = f->aggregators.empty() || f->strict_compat;
    f->metrics_relist_interval = as_prometheus_adapter ? kRelistOfPrometheusAdapter : kRelist;
  }
  if (f->metrics_max_age == absl::ZeroDuration()) {
    f->metrics_max_age = f->strict_compat ? f->metrics_relist_interval
                                          : std::max(f->metrics_relist_interval, kMaxAgeMin);
  }
  if (f->metrics_max_age < f->metrics_relist_interval)
    return bad("--metrics-max-age must not be shorter than --metrics-relist-interval");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<AdapterFlags> ParseAdapterFlags(const std::vector<std::string>& arguments) {
  AdapterFlags flags;
  FlagTable table;
  AddAll(&flags, &table);
  WHEELPIT_RETURN_IF_ERROR(table.Parse(arguments));
  if (flags.help || flags.version) return flags;
  if (flags.check_config) {
    if (flags.config.empty())
      return absl::InvalidArgumentError("--check-config: --config says which file");
    return flags;
  }
  WHEELPIT_RETURN_IF_ERROR(Check(&flags));
  return flags;
}

std::string AdapterFlagsHelp() {
  AdapterFlags flags;
  FlagTable table;
  AddAll(&flags, &table);
  return table.Help();
}

}  // namespace wheelpit::adapter
