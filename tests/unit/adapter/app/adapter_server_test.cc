// The whole adapter over real HTTPS on a free port: with a written-down source, and with a Query
// service behind real gRPC.
#include "adapter/app/adapter_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "adapter/app/certificate.h"
#include "adapter/app/secret_files.h"
#include "adapter/source/aggregator_source.h"
#include "base/errors.h"
#include "base/http/gzip.h"
#include "tests/support/fake_metric_source.h"
#include "tests/support/fake_query_service.h"
#include "tests/support/raw_http.h"
#include "tests/support/std_threads.h"

namespace wheelpit::adapter {
namespace {

using ::testing::HasSubstr;

class AdapterServerTest : public ::testing::Test {
 protected:
  AdapterServerTest() {
    std::string name =
        (std::filesystem::temp_directory_path() / "wheelpit-adapter-XXXXXX").string();
    folder_ = mkdtemp(name.data());
    options_.port = 0;
    options_.data_dir = folder_;
    options_.rules.gateway_counters = {"heavywork_requests_total"};
    options_.version = "0.1.0";
  }
  ~AdapterServerTest() override {
    server_.reset();
    if (context_ != nullptr) SSL_CTX_free(context_);
    std::filesystem::remove_all(folder_);
  }

  absl::Status Start(MetricSource* source) {
    auto started =
        AdapterServer::Start(options_, {source, nullptr}, &StartStdThread, &clock_, &metrics_);
    if (!started.ok()) return started.status();
    server_ = *std::move(started);
    TrustFile();
    return absl::OkStatus();
  }
  // Clients trust the certificate that lies in the folder, and check its names.
  void TrustFile() {
    if (context_ != nullptr) SSL_CTX_free(context_);
    context_ = SSL_CTX_new(TLS_client_method());
    EXPECT_EQ(SSL_CTX_load_verify_locations(context_, (folder_ + "/adapter.crt").c_str(), nullptr),
              1);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
    X509_VERIFY_PARAM_set1_ip_asc(SSL_CTX_get0_param(context_), "127.0.0.1");
  }
  RawAnswer Get(absl::string_view target, absl::string_view more = "") {
    RawHttp client(server_->port(), context_);
    EXPECT_TRUE(client.connected()) << "TLS handshake";
    client.Send(absl::StrCat("GET ", target,
                             " HTTP/1.1\r\nHost: adapter.test:6443\r\nAuthorization: Bearer ",
                             server_->token(), "\r\n", more, "\r\n"));
    return client.Read();
  }
  void WriteRules(absl::string_view yaml) {
    options_.rules.file = folder_ + "/rules.yaml";
    std::ofstream(options_.rules.file) << yaml;
  }

  std::string folder_;
  SystemClock clock_;
  MetricRegistry metrics_;
  AdapterOptions options_;
  FakeMetricSource source_;
  SSL_CTX* context_ = nullptr;
  std::unique_ptr<AdapterServer> server_;
};

constexpr char kRate[] =
    "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/heavywork_requests_per_second";

TEST_F(AdapterServerTest, ServesARateOverHttps) {
  source_.SetSeries("{__name__=\"heavywork_requests_total\"}",
                    {{{"__name__", "heavywork_requests_total"}}});
  source_.SetValues("sum(rate(heavywork_requests_total{}[30s]))", {{{}, 79.5}});
  ASSERT_TRUE(Start(&source_).ok());
  const RawAnswer answer = Get(kRate);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-type"), "application/json");
  EXPECT_EQ(answer.headers.at("cache-control"), "no-cache, private");
  EXPECT_EQ(answer.headers.count("audit-id"), 1);
  EXPECT_EQ(
      answer.body,
      R"({"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{},"items":[)"
      R"({"metricName":"heavywork_requests_per_second","metricLabels":{},"timestamp":"2024-05-01T10:00:00Z","value":"79500m"}]})"
      "\n");
  EXPECT_THAT(Get("/metrics").body,
              HasSubstr("wheelpit_adapter_requests_total{api=\"external\",code=\"200\"} 1\n"));
  // With port 0 discovery can only say what the client asked for.
  EXPECT_THAT(Get("/apis").body, HasSubstr("\"serverAddress\":\"adapter.test:6443\""));
}

TEST_F(AdapterServerTest, TheTokenFileIsTheKey) {
  ASSERT_TRUE(Start(&source_).ok());
  EXPECT_EQ(*ReadSmallFile(folder_ + "/adapter.token"), server_->token() + "\n");
  RawHttp client(server_->port(), context_);
  client.Send("GET /apis HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
  const RawAnswer refused = client.Read();
  EXPECT_EQ(refused.status, 401);
  EXPECT_THAT(refused.body, HasSubstr("\"reason\":\"Unauthorized\""));
  const RawAnswer probe = client.Read();
  EXPECT_EQ(probe.status, 200);
  EXPECT_EQ(probe.body, "ok");
}

TEST_F(AdapterServerTest, KeepsTokenAndCertificateOverRestarts) {
  ASSERT_TRUE(Start(&source_).ok());
  const std::string token = server_->token(), certificate = server_->certificate_pem();
  server_.reset();
  ASSERT_TRUE(Start(&source_).ok());
  EXPECT_EQ(server_->token(), token);
  EXPECT_EQ(server_->certificate_pem(), certificate);
  EXPECT_EQ(Get("/version").status, 200);
}

TEST_F(AdapterServerTest, RenewsItsCertificateWhileItServes) {
  ASSERT_TRUE(Start(&source_).ok());
  const std::string first = server_->certificate_pem();
  EXPECT_THAT(Get("/metrics").body,
              HasSubstr(absl::StrCat("wheelpit_adapter_certificate_expiry_timestamp_seconds ",
                                     absl::ToUnixSeconds(*CertificateEnd(first)), "\n")));
  EXPECT_GT(*CertificateEnd(first), clock_.WallNow() + absl::Hours(24 * 364));
  ASSERT_TRUE(server_->RefreshCertificate().ok());
  EXPECT_EQ(server_->certificate_pem(), first);
  // One that ends in 20 days: as if it had been made long ago.
  const auto old =
      MakeSelfSigned({"localhost", "127.0.0.1", "::1"}, clock_.WallNow() - absl::Hours(24 * 345));
  ASSERT_TRUE(WriteSecretFile(folder_ + "/adapter.key", old->key_pem).ok());
  ASSERT_TRUE(WriteSecretFile(folder_ + "/adapter.crt", old->certificate_pem).ok());
  ASSERT_TRUE(server_->RefreshCertificate().ok());
  EXPECT_NE(server_->certificate_pem(), first);
  EXPECT_EQ(*ReadSmallFile(folder_ + "/adapter.crt"), server_->certificate_pem());
  // New connections get it: who trusts only the first one refuses.
  EXPECT_FALSE(RawHttp(server_->port(), context_).connected());
  TrustFile();
  EXPECT_EQ(Get("/version").status, 200);
}

TEST_F(AdapterServerTest, TakesCertificateFilesThatChange) {
  const std::vector<std::string> hosts = {"127.0.0.1"};
  options_.certificate_file = folder_ + "/adapter.crt";
  options_.key_file = folder_ + "/other.key";
  const auto write = [&](const ServingCertificate& pair) {
    ASSERT_TRUE(WriteSecretFile(options_.key_file, pair.key_pem).ok());
    ASSERT_TRUE(WriteSecretFile(options_.certificate_file, pair.certificate_pem).ok());
  };
  write(*MakeSelfSigned(hosts, clock_.WallNow()));
  ASSERT_TRUE(Start(&source_).ok());
  EXPECT_EQ(Get("/version").status, 200);
  write({"junk", "junk"});
  EXPECT_FALSE(server_->RefreshCertificate().ok());
  EXPECT_EQ(Get("/version").status, 200);  // the old one
  const auto next = MakeSelfSigned(hosts, clock_.WallNow());
  write(*next);
  // The server's own thread finds them.
  while (server_->certificate_pem() != next->certificate_pem) std::this_thread::yield();
  TrustFile();
  EXPECT_EQ(Get("/version").status, 200);
  options_.key_file.clear();
  server_.reset();
  EXPECT_EQ(Start(&source_).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AdapterServerTest, TheFilesRulesWinOverBuiltInOnes) {
  WriteRules(
      "externalRules:\n"
      "- seriesQuery: heavywork_requests_total\n"
      "  resources: {namespaced: false}\n"
      "  name: {matches: '^(.*)_total$', as: '${1}_per_second'}\n"
      "  metricsQuery: 'sum(increase(<<.Series>>{<<.LabelMatchers>>}[1m]))'\n");
  source_.SetSeries("{__name__=\"heavywork_requests_total\"}",
                    {{{"__name__", "heavywork_requests_total"}}});
  source_.SetSeries("heavywork_requests_total", {{{"__name__", "heavywork_requests_total"}}});
  source_.SetValues("sum(increase(heavywork_requests_total{}[1m]))", {{{}, 7}});
  ASSERT_TRUE(Start(&source_).ok());
  EXPECT_THAT(Get(kRate).body, HasSubstr("\"value\":\"7\""));
}

TEST_F(AdapterServerTest, ABadRuleFileStopsTheStart) {
  WriteRules("externalRules:\n- {seriesQuery: a, metricsQuery: b, nmae: {}}\n");
  const absl::Status status = Start(&source_);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("rules.yaml: line 2: externalRules[0]: unknown key \"nmae\""));
  options_.rules.file = folder_ + "/missing.yaml";
  EXPECT_EQ(Start(&source_).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AdapterServerTest, FollowsItsRuleFileWhileItServes) {
  WriteRules("externalRules:\n- {seriesQuery: a, metricsQuery: one}\n");
  for (const char* name : {"a", "b"}) source_.SetSeries(name, {{{"__name__", name}}});
  source_.SetValues("one", {{{}, 1}});
  source_.SetValues("two", {{{}, 2}});
  ASSERT_TRUE(Start(&source_).ok());
  const std::string base = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/";
  EXPECT_THAT(Get(base + "a").body, HasSubstr("\"value\":\"1\""));
  EXPECT_EQ(Get(base + "b").status, 404);
  WriteRules("externalRules:\n- {seriesQuery: b, metricsQuery: two}\n");
  // The server's own thread finds it.
  while (Get(base + "b").status != 200) std::this_thread::yield();
  EXPECT_THAT(Get(base + "b").body, HasSubstr("\"value\":\"2\""));
  EXPECT_EQ(Get(base + "a").status, 404);
  EXPECT_EQ(Get("/readyz").status, 200);
  WriteRules("externalRules: {}\n");
  while (!absl::StrContains(Get("/metrics").body,
                            "wheelpit_adapter_config_last_reload_successful 0\n"))
    std::this_thread::yield();
  EXPECT_EQ(Get(base + "b").status, 200);
}

TEST_F(AdapterServerTest, ABusyPortIsAnError) {
  ASSERT_TRUE(Start(&source_).ok());
  AdapterOptions second = options_;
  second.port = server_->port();
  EXPECT_EQ(AdapterServer::Start(second, {&source_, nullptr}, &StartStdThread, &clock_, &metrics_)
                .status()
                .code(),
            absl::StatusCode::kAlreadyExists);
}

TEST_F(AdapterServerTest, LongAnswersAreCompressedForThoseWhoTakeIt) {
  WriteRules("externalRules:\n- {seriesQuery: '{a=\"b\"}', metricsQuery: x}\n");
  std::vector<SourceLabels> series;
  for (int i = 0; i < 3000; ++i)
    series.push_back({{"__name__", absl::StrCat("metric_number_", i)}});
  source_.SetSeries("{a=\"b\"}", series);
  ASSERT_TRUE(Start(&source_).ok());
  // Not listed yet or already: asking for one makes sure.
  EXPECT_EQ(Get("/apis/external.metrics.k8s.io/v1beta1/namespaces/default/metric_number_7").status,
            500);
  const std::string discovery = "/apis/external.metrics.k8s.io/v1beta1";
  const RawAnswer plain = Get(discovery);
  EXPECT_EQ(plain.headers.count("content-encoding"), 0);
  EXPECT_GT(plain.body.size(), 128u << 10);
  const RawAnswer packed = Get(discovery, "Accept-Encoding: gzip\r\n");
  EXPECT_EQ(packed.headers.at("content-encoding"), "gzip");
  EXPECT_EQ(*GzipDecompress(packed.body, 10u << 20), plain.body);
  EXPECT_EQ(Get("/version", "Accept-Encoding: gzip\r\n").headers.count("content-encoding"), 0);
}

TEST_F(AdapterServerTest, AsksAnAggregatorOverGrpc) {
  FakeQueryService service;
  v1::SeriesResponse series;
  v1::Label* label = series.add_series()->add_labels();
  label->set_name("__name__");
  label->set_value("heavywork_requests_total");
  service.SetSeries(series);
  v1::QueryResponse response;
  response.set_evaluated_at_ms(1714557600000);
  response.mutable_vector()->add_elements()->set_value(20);
  const std::string query = "sum(rate(heavywork_requests_total{app=\"web\"}[30s]))";
  service.SetQuery(query, response);
  const auto source = NewAggregatorSource(service.NetworkChannel());
  ASSERT_TRUE(Start(source.get()).ok());
  const std::string target = absl::StrCat(kRate, "?labelSelector=app%3Dweb");
  EXPECT_THAT(Get(target).body,
              HasSubstr("\"timestamp\":\"2024-05-01T10:00:00Z\",\"value\":\"20\""));

  // A known zero is a value; what cannot be known is an error with its cause.
  response.mutable_vector()->mutable_elements(0)->set_value(0);
  service.SetQuery(query, response);
  EXPECT_THAT(Get(target).body, HasSubstr("\"value\":\"0\""));
  service.SetQueryError(query, FakeQueryService::MakeStatus(grpc::StatusCode::UNAVAILABLE,
                                                            "UNKNOWN", "every reporter is silent"));
  const RawAnswer unknown = Get(target);
  EXPECT_EQ(unknown.status, 500);
  EXPECT_THAT(unknown.body, HasSubstr("UNKNOWN: aggregator: every reporter is silent"));

  // Availability does not hang on the aggregator.
  service.Stop();
  EXPECT_EQ(Get("/apis/external.metrics.k8s.io/v1beta1").status, 200);
  EXPECT_THAT(Get(target).body, HasSubstr("UNREACHABLE: "));
  server_.reset();
}

TEST_F(AdapterServerTest, AsksTheServerOfItsOwnProcess) {
  FakeQueryService service;
  v1::SeriesResponse series;
  v1::Label* label = series.add_series()->add_labels();
  label->set_name("__name__");
  label->set_value("heavywork_requests_total");
  service.SetSeries(series);
  v1::QueryResponse response;
  response.mutable_vector()->add_elements()->set_value(1.5);
  service.SetQuery("sum(rate(heavywork_requests_total{}[30s]))", response);
  const auto source = NewAggregatorSource(service.InProcessChannel());
  ASSERT_TRUE(Start(source.get()).ok());
  EXPECT_THAT(Get(kRate).body, HasSubstr("\"value\":\"1500m\""));
  server_->Stop(absl::Seconds(30));
  service.Stop();
}

TEST_F(AdapterServerTest, ManyClientsAtOnce) {
  source_.SetSeries("{__name__=\"heavywork_requests_total\"}",
                    {{{"__name__", "heavywork_requests_total"}}});
  source_.SetValues("sum(rate(heavywork_requests_total{}[30s]))", {{{}, 1}});
  ASSERT_TRUE(Start(&source_).ok());
  std::vector<std::thread> clients;
  std::atomic<int> good{0};
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      for (int n = 0; n < 20; ++n) good += Get(kRate).status == 200 ? 1 : 0;
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(good, 160);
  EXPECT_THAT(Get("/metrics").body,
              HasSubstr("wheelpit_adapter_requests_total{api=\"external\",code=\"200\"} 160\n"));
}

}  // namespace
}  // namespace wheelpit::adapter
