#include "adapter/app/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"

namespace wheelpit::adapter {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

using Arguments = std::vector<std::string>;

std::string Complaint(const Arguments& arguments) {
  const auto flags = ParseAdapterFlags(arguments);
  EXPECT_EQ(flags.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(flags.status().message());
}

TEST(AdapterFlagsTest, AManifestOfPrometheusAdapterWorksUnchanged) {
  const auto flags = ParseAdapterFlags(
      {"--cert-dir=/var/run/serving-cert", "--config=/etc/adapter/config.yaml",
       "--metrics-relist-interval=1m", "--prometheus-url=https://prometheus.monitoring.svc:9090/p",
       "--secure-port=6443", "--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_AES_128_GCM_SHA256",
       "--logtostderr=true", "--v=6", "--prometheus-header=X-Scope-OrgID=a=b", "--prometheus-header",
       "Y=z", "--prometheus-auth-incluster", "--log_dir", "/tmp", "--audit-log-path=-",
       "--enable-priority-and-fairness=false", "--metrics-max-age", "5m"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->cert_dir, "/var/run/serving-cert");
  EXPECT_EQ(flags->config, "/etc/adapter/config.yaml");
  EXPECT_EQ(flags->metrics_relist_interval, absl::Minutes(1));
  EXPECT_EQ(flags->metrics_max_age, absl::Minutes(5));
  EXPECT_EQ(flags->prometheus_url, "https://prometheus.monitoring.svc:9090/p");
  EXPECT_EQ(flags->secure_port, 6443);
  EXPECT_THAT(flags->tls_cipher_suites,
              ElementsAre("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"));
  EXPECT_EQ(flags->verbosity, 6);
  EXPECT_THAT(flags->prometheus_headers, ElementsAre(Pair("X-Scope-OrgID", "a=b"), Pair("Y", "z")));
  EXPECT_TRUE(flags->prometheus_auth_incluster);
  EXPECT_THAT(flags->ignored, ElementsAre("logtostderr", "log-dir", "audit-log-path",
                                          "enable-priority-and-fairness"));
}

TEST(AdapterFlagsTest, EveryFlagOfPrometheusAdapterIsKnown) {
  const char* const kValued[] = {
      "prometheus-url=http://a", "config=c", "metrics-relist-interval=10m", "metrics-max-age=10m",
      "prometheus-auth-config=", "prometheus-ca-file=f", "prometheus-token-file=f",
      "prometheus-header=k=v", "prometheus-verb=POST", "lister-kubeconfig=f",
      "discovery-interval=1m", "client-qps=5", "client-burst=10", "secure-port=0",
      "bind-address=::", "cert-dir=d", "tls-cipher-suites=", "tls-min-version=VersionTLS13",
      "tls-sni-cert-key=a,b", "http2-max-streams-per-connection=5", "authentication-kubeconfig=f",
      "authentication-token-webhook-cache-ttl=1m30s", "client-ca-file=f",
      "requestheader-client-ca-file=f", "requestheader-allowed-names=a,b",
      "requestheader-username-headers=x", "requestheader-group-headers=x",
      "requestheader-extra-headers-prefix=x", "requestheader-uid-headers=x",
      "authorization-kubeconfig=f", "authorization-always-allow-paths=/a",
      "authorization-webhook-cache-authorized-ttl=500ms",
      "authorization-webhook-cache-unauthorized-ttl=0s", "debug-socket-path=p", "v=0", "vmodule=x=1",
      "log-flush-frequency=5s", "stderrthreshold=2", "log_dir=d", "log_file=f", "rate-interval=5m",
      "label-prefix=k", "audit-log-format=json", "audit-log-maxage=1", "audit-policy-file=f",
      "audit-webhook-config-file=f", "audit-webhook-mode=batch", "audit-log-batch-max-size=1",
      "audit-webhook-batch-throttle-qps=1", "audit-log-truncate-max-event-size=1"};
  const char* const kBoolean[] = {
      "prometheus-auth-incluster", "permit-port-sharing", "permit-address-sharing", "disable-http2",
      "authentication-skip-lookup", "authentication-tolerate-lookup-failure", "profiling",
      "contention-profiling", "enable-priority-and-fairness", "logtostderr", "alsologtostderr",
      "skip_headers", "add_dir_header", "audit-log-compress", "audit-log-truncate-enabled",
      "audit-webhook-batch-throttle-enable"};
  const Arguments needed = {"--config=c", "--prometheus-url=http://a"};
  for (const std::string flag : kValued) {
    Arguments one = needed, two = needed;
    one.push_back("--" + flag);
    const size_t equals = flag.find('=');
    two.push_back("--" + flag.substr(0, equals));
    two.push_back(flag.substr(equals + 1));
    EXPECT_TRUE(ParseAdapterFlags(one).ok()) << flag << ": " << ParseAdapterFlags(one).status();
    EXPECT_TRUE(ParseAdapterFlags(two).ok()) << flag;
  }
  for (const std::string flag : kBoolean) {
    for (const char* value : {"", "=true", "=false", "=1", "=F"}) {
      Arguments arguments = needed;
      arguments.push_back("--" + flag + value);
      EXPECT_TRUE(ParseAdapterFlags(arguments).ok()) << flag << value;
    }
  }
}

TEST(AdapterFlagsTest, AnUnknownFlagIsFatalAndHasANeighbour) {
  EXPECT_EQ(Complaint({"--prometheus-uri=x"}),
            "unknown flag: --prometheus-uri; did you mean --prometheus-url?");
  EXPECT_THAT(Complaint({"--agregator", "a:1"}), HasSubstr("did you mean --aggregator?"));
  EXPECT_THAT(Complaint({"-c", "x"}), HasSubstr("unknown shorthand flag"));
  EXPECT_THAT(Complaint({"config.yaml"}), HasSubstr("Only flags are taken"));
  EXPECT_THAT(Complaint({"--config"}), HasSubstr("needs an argument: --config"));
}

TEST(AdapterFlagsTest, ValuesAreChecked) {
  const struct {
    Arguments arguments;
    const char* message;
  } kCases[] = {
      {{"--secure-port=http"}, "--secure-port: \"http\" is no number from 0 to 65535"},
      {{"--secure-port=65536"}, "--secure-port"},
      {{"--metrics-relist-interval=10"}, "is no duration such as 10m"},
      {{"--metrics-relist-interval=-1m"}, "is no duration"},
      {{"--strict-compat=perhaps"}, "neither true nor false"},
      {{"--metrics-max-age=1s", "--config=c"}, "--metrics-max-age must not be shorter"},
      {{"--builtin-rules=maybe"}, "neither true nor false"},
      {{"--prometheus-header=novalue"}, "is not name=value"},
      {{"--prometheus-verb=PUT", "--config=c"}, "--prometheus-verb must be GET or POST"},
      {{"--prometheus-url=localhost:9090", "--config=c"}, "--prometheus-url: "},
      {{"--prometheus-auth-incluster", "--prometheus-auth-config=f", "--config=c"}, "exclude each other"},
      {{"--tls-cert-file=f", "--config=c"}, "go together"},
      {{"--prometheus-client-tls-key-file=f", "--config=c"}, "go together"},
      {{"--tls-min-version=VersionTLS11", "--config=c"}, "--tls-min-version"},
      {{}, "--config is required without an --aggregator"},
      {{"--aggregator=a:1", "--aggregator=b:1"}, "2 given, exactly one is taken"},
      {{"--aggregator=a:1,b:1"}, "2 given, exactly one is taken"},
  };
  for (const auto& c : kCases) EXPECT_THAT(Complaint(c.arguments), HasSubstr(c.message));
}

TEST(AdapterFlagsTest, DefaultsFitTheSource) {
  const auto aggregator = ParseAdapterFlags({"--aggregator", "wheelpit:7411"});
  ASSERT_TRUE(aggregator.ok()) << aggregator.status();
  EXPECT_EQ(aggregator->prometheus_url, "");
  EXPECT_TRUE(aggregator->builtin_rules);
  EXPECT_EQ(aggregator->secure_port, 6443);
  EXPECT_EQ(aggregator->bind_address, "0.0.0.0");
  EXPECT_THAT(aggregator->authorization_always_allow_paths,
              ElementsAre("/healthz", "/readyz", "/livez"));
  EXPECT_THAT(aggregator->requestheader_username_headers, ElementsAre("x-remote-user"));
  const auto prometheus = ParseAdapterFlags({"--config=c", "--authorization-always-allow-paths="});
  ASSERT_TRUE(prometheus.ok());
  EXPECT_EQ(prometheus->prometheus_url, "https://localhost");
  EXPECT_EQ(prometheus->metrics_max_age, absl::Minutes(10));
  // Series queries cost a Prometheus server more than an aggregator.
  EXPECT_EQ(prometheus->metrics_relist_interval, absl::Minutes(10));
  EXPECT_EQ(aggregator->metrics_relist_interval, absl::Seconds(30));
  EXPECT_EQ(aggregator->metrics_max_age, absl::Minutes(10));
  const auto strict =
      ParseAdapterFlags({"--aggregator=a:1", "--strict-compat", "--metrics-relist-interval=1m"});
  ASSERT_TRUE(strict.ok());
  EXPECT_TRUE(strict->strict_compat);
  EXPECT_EQ(strict->metrics_max_age, absl::Minutes(1));
  EXPECT_EQ(ParseAdapterFlags({"--aggregator=a:1", "--strict-compat"})->metrics_relist_interval,
            absl::Minutes(10));
  EXPECT_THAT(prometheus->authorization_always_allow_paths, IsEmpty());
}

TEST(AdapterFlagsTest, HelpAndVersionNeedNothingElse) {
  EXPECT_TRUE(ParseAdapterFlags({"--help"})->help);
  EXPECT_TRUE(ParseAdapterFlags({"-h"})->help);
  EXPECT_TRUE(ParseAdapterFlags({"--version"})->version);
  EXPECT_TRUE(ParseAdapterFlags({"--check-config", "--config=c"})->check_config);
  EXPECT_THAT(Complaint({"--check-config"}), HasSubstr("--config says which file"));
  EXPECT_EQ(ParseAdapterFlags({"-v6", "--version"})->verbosity, 6);
  const std::string help = AdapterFlagsHelp();
  EXPECT_THAT(help, HasSubstr("--aggregator=…\n"));
  EXPECT_THAT(help, HasSubstr("Default: 6443"));
  EXPECT_THAT(help, Not(HasSubstr("audit")));
  for (absl::string_view line : absl::StrSplit(help, '\n')) EXPECT_LE(line.size(), 102u) << line;
}

}  // namespace
}  // namespace wheelpit::adapter
