// The real wheelpit-adapter between Debian's Prometheus, an aggregator's Query service and an API
// server: external rules answered from both sources, as one process among others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/http/http_client.h"
#include "tests/support/child_process.h"
#include "tests/support/fake_kube_api.h"
#include "tests/support/fake_query_service.h"
#include "tests/support/raw_http.h"
#include "tests/support/temp_folder.h"

namespace wheelpit::adapter {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr char kPrometheus[] = "/usr/bin/prometheus";
constexpr char kPrefix[] = "/apis/external.metrics.k8s.io/v1beta1/namespaces/";
constexpr char kRules[] = R"(
externalRules:
- seriesQuery: 'queue_depth{queue!=""}'
  resources: {overrides: {namespace: {resource: "namespace"}}}
  metricsQuery: 'sum by (queue) (<<.Series>>{<<.LabelMatchers>>})'
- seriesQuery: '{__name__="cloud_lag"}'
  resources: {namespaced: false}
  source: prometheus
  metricsQuery: 'max(<<.Series>>{<<.LabelMatchers>>})'
- seriesQuery: '{__name__="no_number"}'
  resources: {namespaced: false}
  metricsQuery: '<<.Series>>{<<.LabelMatchers>>}'
- seriesQuery: '{broken'
  metricsQuery: '<<.Series>>'
)";

class AdapterPrometheusTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::access(kPrometheus, X_OK) != 0) GTEST_FAIL() << kPrometheus << " is missing";
    HttpServerOptions options;
    auto page = HttpServer::Start(
        options,
        [](const HttpRequest&) {
          HttpResponse response = TextResponse(
              200,
              "queue_depth{namespace=\"shop\",queue=\"work\",shard=\"0\"} 40\n"
              "queue_depth{namespace=\"shop\",queue=\"work\",shard=\"1\"} 2.5\n"
              "queue_depth{namespace=\"else\",queue=\"work\",shard=\"0\"} 7\n"
              "cloud_lag 1500\nno_number NaN\n");
          response.content_type = "text/plain; version=0.0.4";
          return response;
        },
        &StartStdThread, &clock_);
    ASSERT_TRUE(page.ok());
    page_ = *std::move(page);
    api_.SetUser("hpa", {{"username", "hpa"}});
    for (const char* metric : {"queue_depth", "cloud_lag", "no_number", "jobs_per_second", "Nope"})
      api_.Allow("hpa", metric);
    Write("kubeconfig", api_.Kubeconfig());
    Write("rules.yaml", kRules);
  }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_.path() + "/" + name) << text;
  }
  std::string Path(const std::string& name) const { return folder_.path() + "/" + name; }

  // Prometheus takes no port 0: one that was free a moment ago is tried, again if it was taken.
  void StartPrometheus() {
    Write("prometheus.yml",
          absl::StrCat("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs:\n- job_name: page\n"
                       "  honor_labels: true\n  static_configs: [{targets: ['127.0.0.1:",
                       page_->port(), "']}]\n"));
    for (int attempt = 0; attempt < 5; ++attempt) {
      {
        auto probe = HttpServer::Start({}, [](const HttpRequest&) { return HttpResponse(); },
                                       &StartStdThread, &clock_);
        prometheus_port_ = (*probe)->port();
      }
      prometheus_ = std::make_unique<ChildProcess>(
          std::vector<std::string>{kPrometheus, "--config.file=" + Path("prometheus.yml"),
                                   "--storage.tsdb.path=" + Path("tsdb"),
                                   absl::StrCat("--web.listen-address=127.0.0.1:", prometheus_port_)},
          /*both=*/true);
      std::string line;
      while (prometheus_->ReadLine(&line)) {
        if (absl::StrContains(line, "Server is ready to receive web requests")) {
          // Its log must not fill the pipe.
          drain_ = std::thread([this] {
            std::string rest;
            while (prometheus_->ReadLine(&rest)) {
            }
          });
          return;
        }
      }
    }
    FAIL() << "Prometheus does not start";
  }
  // Until it has scraped the page.
  void AwaitScrape() {
    auto client = *HttpClient::Create({.url = absl::StrCat("http://127.0.0.1:", prometheus_port_)}, &clock_);
    while (true) {
      const auto answer = client->Call({.target = "/api/v1/query?query=cloud_lag"});
      if (answer.ok() && absl::StrContains(answer->body, "1500")) return;
    }
  }
  void StartAdapter(std::vector<std::string> more) {
    std::vector<std::string> arguments = {
        ADAPTER_BINARY, "--secure-port=0", "--bind-address=127.0.0.1", "--cert-dir=",
        "--authentication-kubeconfig=" + Path("kubeconfig"),
        "--authorization-kubeconfig=" + Path("kubeconfig"), "--config=" + Path("rules.yaml"),
        "--logtostderr=true", "--shutdown-delay=1h"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    adapter_ = std::make_unique<ChildProcess>(arguments);
    std::string line;
    ASSERT_TRUE(adapter_->ReadLine(&line)) << "the adapter does not start";
    ASSERT_THAT(line, MatchesRegex("\\{\"apis_port\":[0-9]+\\}"));
    const std::string digits = line.substr(13, line.size() - 14);
    ASSERT_TRUE(absl::SimpleAtoi(digits, &adapter_port_));
  }
  RawAnswer Get(absl::string_view target) {
    SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
    RawHttp client(adapter_port_, context);
    SSL_CTX_free(context);
    client.Send(absl::StrCat("GET ", target,
                             " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer hpa\r\n\r\n"));
    return client.Read();
  }
  void TearDown() override {
    if (prometheus_ != nullptr) prometheus_->Signal(SIGKILL);
    if (drain_.joinable()) drain_.join();
  }

  SystemClock clock_;
  TempFolder folder_;
  FakeKubeApi api_;
  std::unique_ptr<HttpServer> page_;
  std::unique_ptr<ChildProcess> prometheus_, adapter_;
  std::thread drain_;
  int prometheus_port_ = 0;
  int adapter_port_ = 0;
};

TEST_F(AdapterPrometheusTest, AnswersExternalRulesFromPrometheus) {
  StartPrometheus();
  AwaitScrape();
  StartAdapter({absl::StrCat("--prometheus-url=http://127.0.0.1:", prometheus_port_)});
  const RawAnswer depth = Get(absl::StrCat(kPrefix, "shop/queue_depth?labelSelector=queue%3Dwork"));
  EXPECT_EQ(depth.status, 200) << depth.body;
  EXPECT_THAT(depth.body,
              MatchesRegex(".*\"items\":\\[\\{\"metricName\":\"queue_depth\",\"metricLabels\":\\{"
                           "\"queue\":\"work\"\\},\"timestamp\":\"20[^\"]*Z\",\"value\":\"42500m\"\\}\\]\\}\n"));
  EXPECT_THAT(Get(absl::StrCat(kPrefix, "else/queue_depth")).body, HasSubstr("\"value\":\"7\""));
  EXPECT_THAT(Get(absl::StrCat(kPrefix, "shop/queue_depth?labelSelector=queue%3Dnone")).body,
              HasSubstr("\"items\":[]"));
  EXPECT_THAT(Get(absl::StrCat(kPrefix, "default/cloud_lag")).body, HasSubstr("\"value\":\"1500\""));
  // What is no number is no value; the broken rule stands alone.
  EXPECT_THAT(Get(absl::StrCat(kPrefix, "default/no_number")).body, HasSubstr("\"items\":[]"));
  EXPECT_EQ(Get(absl::StrCat(kPrefix, "shop/Nope")).status, 404);
  // Prometheus is gone: an error with its cause, no old or made-up value.
  prometheus_->Signal(SIGKILL);
  drain_.join();
  const RawAnswer gone = Get(absl::StrCat(kPrefix, "default/cloud_lag"));
  EXPECT_EQ(gone.status, 500);
  EXPECT_THAT(gone.body, HasSubstr("UNREACHABLE: prometheus: "));
}

TEST_F(AdapterPrometheusTest, TwoSourcesAndTwoReplicasAgree) {
  StartPrometheus();
  AwaitScrape();
  FakeQueryService aggregator;
  v1::SeriesResponse series;
  auto* label = series.add_series()->add_labels();
  label->set_name("__name__");
  label->set_value("jobs_total");
  aggregator.SetSeries(series);
  v1::QueryResponse rate;
  rate.mutable_vector()->add_elements()->set_value(79.5);
  aggregator.SetQuery("sum(rate(jobs_total{}[30s]))", rate);
  const std::vector<std::string> flags = {
      absl::StrCat("--prometheus-url=http://127.0.0.1:", prometheus_port_),
      absl::StrCat("--aggregator=127.0.0.1:", aggregator.port()), "--gateway-counters=jobs_total"};
  std::vector<std::string> answers;
  for (int replica = 0; replica < 2; ++replica) {
    StartAdapter(flags);
    EXPECT_THAT(Get(absl::StrCat(kPrefix, "default/jobs_per_second")).body,
                HasSubstr("\"value\":\"79500m\""));
    // Every rule has been listed.
    while (Get("/readyz").status != 200) {
    }
    // `source: prometheus` beside an aggregator.
    EXPECT_THAT(Get(absl::StrCat(kPrefix, "default/cloud_lag")).body,
                HasSubstr("\"value\":\"1500\""));
    answers.push_back(Get("/apis/external.metrics.k8s.io/v1beta1").body);
  }
  EXPECT_EQ(answers[0], answers[1]);
}

TEST_F(AdapterPrometheusTest, SaysThatItEndsKeepsServingAndEndsWell) {
  FakeQueryService aggregator;
  Write("rules.yaml", "externalRules: []");
  StartAdapter({absl::StrCat("--aggregator=127.0.0.1:", aggregator.port())});
  adapter_->Signal(SIGTERM);
  // Not ready as soon as it has seen the signal, alive and serving all the same.
  while (Get("/readyz").status != 500) {
  }
  EXPECT_THAT(Get("/readyz").body, HasSubstr("[-]shutdown failed"));
  EXPECT_EQ(Get("/livez").status, 200);
  EXPECT_EQ(Get(absl::StrCat(kPrefix, "default/Nope")).status, 404);
  // A second signal ends the wait.
  EXPECT_EQ(adapter_->Terminate(), 0);
}

TEST_F(AdapterPrometheusTest, WrongStartsSayWhy) {
  const auto run = [](std::vector<std::string> arguments, std::string* output) {
    arguments.insert(arguments.begin(), ADAPTER_BINARY);
    ChildProcess child(arguments, /*both=*/true);
    return child.Wait(output);
  };
  std::string output;
  EXPECT_EQ(run({"--prometheus-uri=x"}, &output), 2);
  EXPECT_THAT(output, HasSubstr("did you mean --prometheus-url?"));
  EXPECT_EQ(run({"--version"}, &output), 0);
  EXPECT_THAT(output, HasSubstr("wheelpit-adapter "));
  EXPECT_EQ(run({"--help"}, &output), 0);
  EXPECT_THAT(output, HasSubstr("--aggregator=…"));
  output.clear();
  EXPECT_EQ(run({"--config=" + Path("rules.yaml")}, &output), 1);
  EXPECT_THAT(output, HasSubstr("kubeconfig"));
  output.clear();
  Write("bad.yaml", "externalRules: [{typo: 1}]");
  EXPECT_EQ(run({"--config=" + Path("bad.yaml"), "--authentication-kubeconfig=" + Path("kubeconfig"),
                 "--authorization-kubeconfig=" + Path("kubeconfig")},
                &output),
            1);
  EXPECT_THAT(output, HasSubstr("unknown key \"typo\""));
}

}  // namespace
}  // namespace wheelpit::adapter
