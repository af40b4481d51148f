// The adapter as an extension API server, over real HTTPS: a front proxy, users with certificates
// and tokens, and an API server that says what they may.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "adapter/app/adapter_server.h"
#include "base/small_file.h"
#include "tests/support/fake_kube_api.h"
#include "tests/support/fake_metric_source.h"
#include "tests/support/raw_http.h"
#include "tests/support/std_threads.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_pki.h"

namespace wheelpit::adapter {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr char kRate[] =
    "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/jobs_per_second";

class DelegatedServerTest : public ::testing::Test {
 protected:
  DelegatedServerTest() {
    api_.SetAuthData({{"client-ca-file", client_ca_.pem()},
                      {"requestheader-client-ca-file", proxy_ca_.pem()},
                      {"requestheader-allowed-names", R"(["front"])"},
                      {"requestheader-username-headers", R"(["X-Remote-User"])"},
                      {"requestheader-group-headers", R"(["X-Remote-Group"])"},
                      {"requestheader-extra-headers-prefix", R"(["X-Remote-Extra-"])"}});
    source_.SetSeries("{__name__=\"jobs_total\"}", {{{"__name__", "jobs_total"}}});
    source_.SetValues("sum(rate(jobs_total{}[30s]))", {{{}, 7}});
    options_.port = 0;
    options_.rules.gateway_counters = {"jobs_total"};
    options_.delegated.emplace();
    options_.delegated->authentication = options_.delegated->authorization = api_.Config();
    // Each question reaches the API server.
    options_.delegated->auth.authorizer.allowed_ttl = absl::ZeroDuration();
    options_.delegated->auth.authorizer.denied_ttl = absl::ZeroDuration();
  }
  absl::Status Start() {
    auto started =
        AdapterServer::Start(options_, {&source_, nullptr}, &StartStdThread, &clock_, &metrics_);
    if (!started.ok()) return started.status();
    server_ = *std::move(started);
    return absl::OkStatus();
  }
  RawAnswer Get(SSL_CTX* context, absl::string_view target, absl::string_view headers = "") {
    RawHttp client(server_->port(), context);
    EXPECT_TRUE(client.connected()) << "TLS handshake";
    client.Send(absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: a\r\n", headers, "\r\n"));
    return client.Read();
  }
  // Without a certificate.
  RawAnswer GetBare(absl::string_view target, absl::string_view headers = "") {
    SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
    const RawAnswer answer = Get(context, target, headers);
    SSL_CTX_free(context);
    return answer;
  }
  RawAnswer GetAs(const TestCa& ca, const IssueOptions& options, absl::string_view target,
                  absl::string_view headers = "") {
    SSL_CTX* const context = ClientContextWith(ca.Issue(options));
    const RawAnswer answer = Get(context, target, headers);
    SSL_CTX_free(context);
    return answer;
  }

  const TestCa client_ca_{"client-ca"}, proxy_ca_{"proxy-ca"}, other_ca_{"other-ca"};
  FakeKubeApi api_;
  SystemClock clock_;
  MetricRegistry metrics_;
  FakeMetricSource source_;
  AdapterOptions options_;
  std::unique_ptr<AdapterServer> server_;
};

TEST_F(DelegatedServerTest, TheHpaGetsItsMetricThroughTheFrontProxy) {
  api_.Allow("system:serviceaccount:kube-system:horizontal-pod-autoscaler", "jobs_per_second");
  ASSERT_TRUE(Start().ok());
  const RawAnswer answer =
      GetAs(proxy_ca_, {.common_name = "front"}, kRate,
            "X-Remote-User: system:serviceaccount:kube-system:horizontal-pod-autoscaler\r\n"
            "X-Remote-Group: system:serviceaccounts\r\nX-Remote-Group: a%20group\r\n"
            "X-Remote-Extra-Authentication.kubernetes.io%2FPod-Name: hpa%2F1\r\n");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.body, HasSubstr("\"value\":\"7\""));
  const Json spec = api_.last_spec();
  EXPECT_EQ(spec["groups"], (Json{"system:serviceaccounts", "a%20group", "system:authenticated"}));
  EXPECT_EQ(spec["extra"], (Json{{"authentication.kubernetes.io/pod-name", {"hpa%2F1"}}}));
  EXPECT_EQ(spec["resourceAttributes"],
            (Json{{"verb", "list"},
                  {"group", "external.metrics.k8s.io"},
                  {"version", "v1beta1"},
                  {"resource", "jobs_per_second"},
                  {"namespace", "shop"}}));
}

TEST_F(DelegatedServerTest, HeaderValuesAreNotDecoded) {
  ASSERT_TRUE(Start().ok());
  const RawAnswer answer =
      GetAs(proxy_ca_, {.common_name = "front"}, "/version",
            "X-Remote-User: mallory\r\nX-Remote-Group: system%3Amasters\r\n");
  EXPECT_EQ(answer.status, 403);
  // The real one is a superuser, without a question to the API server.
  const size_t reviews = api_.reviews().size();
  EXPECT_EQ(GetAs(proxy_ca_, {.common_name = "front"}, "/version",
                  "X-Remote-User: root\r\nX-Remote-Group: system:masters\r\n")
                .status,
            200);
  EXPECT_EQ(api_.reviews().size(), reviews);
}

TEST_F(DelegatedServerTest, OnlyTheFrontProxyMaySpeakForOthers) {
  ASSERT_TRUE(Start().ok());
  const std::string headers = "X-Remote-User: root\r\nX-Remote-Group: system:masters\r\n";
  EXPECT_EQ(GetAs(proxy_ca_, {.common_name = "imposter"}, "/version", headers).status, 401);
  EXPECT_EQ(GetAs(other_ca_, {.common_name = "front"}, "/version", headers).status, 401);
  EXPECT_EQ(GetAs(proxy_ca_, {.common_name = "front", .extended_key_usage = "serverAuth"},
                  "/version", headers)
                .status,
            401);
  // A user of the cluster is who the certificate says.
  const RawAnswer user = GetAs(client_ca_, {.common_name = "anna"}, "/version", headers);
  EXPECT_EQ(user.status, 403);
  EXPECT_THAT(user.body, HasSubstr(R"("message":"forbidden: User \"anna\" cannot get path \"/version\": no rule says so")"));
  const RawAnswer nobody = GetBare("/version", headers);
  EXPECT_EQ(nobody.status, 403);
  EXPECT_THAT(nobody.body, HasSubstr(R"(User \"system:anonymous\")"));
}

TEST_F(DelegatedServerTest, ATokenIsReviewed) {
  api_.SetUser("t1", {{"username", "anna"}});
  api_.Allow("anna", "/version");
  ASSERT_TRUE(Start().ok());
  EXPECT_EQ(GetBare("/version", "Authorization: Bearer t1\r\n").status, 200);
  const RawAnswer wrong = GetBare("/version", "Authorization: Bearer t2\r\n");
  EXPECT_EQ(wrong.status, 401);
  EXPECT_EQ(wrong.body,
            R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401})"
            "\n");
  api_.Forbid("anna", "/version");
  EXPECT_EQ(GetBare("/version", "Authorization: Bearer t1\r\n").status, 403);
}

TEST_F(DelegatedServerTest, RefusalsNameWhatWasWanted) {
  ASSERT_TRUE(Start().ok());
  const RawAnswer external = GetAs(client_ca_, {.common_name = "anna"}, kRate);
  EXPECT_EQ(external.status, 403);
  EXPECT_THAT(external.body,
              HasSubstr(R"("message":"jobs_per_second.external.metrics.k8s.io is forbidden: User \"anna\" cannot list resource \"jobs_per_second\" in API group \"external.metrics.k8s.io\" in the namespace \"shop\": no rule says so")"));
  const RawAnswer custom = GetAs(client_ca_, {.common_name = "anna"},
                                 "/apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/pods/%2A/m");
  EXPECT_THAT(custom.body,
              HasSubstr(R"(pods.custom.metrics.k8s.io \"*\" is forbidden: User \"anna\" cannot get resource \"pods/m\")"));
}

TEST_F(DelegatedServerTest, ReviewsThatFailAreNoYes) {
  api_.SetUser("t1", {{"username", "anna"}});
  api_.Allow("anna", "/version");
  ASSERT_TRUE(Start().ok());
  ASSERT_EQ(GetBare("/version", "Authorization: Bearer t1\r\n").status, 200);
  api_.FailNext(1, 403);
  const RawAnswer answer = GetBare("/version", "Authorization: Bearer t1\r\n");
  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("Internal Server Error: \\\"/version\\\": Kubernetes API: HTTP 403"));
}

TEST_F(DelegatedServerTest, HealthIsOpenAndNeedsNobody) {
  ASSERT_TRUE(Start().ok());
  const size_t reviews = api_.reviews().size();
  EXPECT_EQ(GetBare("/healthz").body, "ok");
  EXPECT_EQ(GetBare("/livez", "Authorization: Bearer wrong\r\n").status, 200);
  EXPECT_EQ(GetAs(other_ca_, {.common_name = "x"}, "/readyz").status, 200);
  EXPECT_EQ(api_.reviews().size(), reviews);
  EXPECT_EQ(GetBare("/metrics").status, 403);
}

TEST_F(DelegatedServerTest, StartsOnlyIfItMayReadTheSettings) {
  api_.FailNext(1, 403);
  const absl::Status refused = Start();
  EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("extension-apiserver-authentication"));
}

TEST_F(DelegatedServerTest, MakesItsCertificateInAFolderOrInMemory) {
  const TempFolder folder;
  options_.certificate_dir = folder.path() + "/a/b";
  ASSERT_TRUE(Start().ok());
  EXPECT_EQ(*ReadSmallFile(options_.certificate_dir + "/apiserver.crt"), server_->certificate_pem());
  const std::string first = server_->certificate_pem();
  server_.reset();
  ASSERT_TRUE(Start().ok());
  EXPECT_EQ(server_->certificate_pem(), first);
  server_.reset();
  // Where a file stands no folder can be made.
  options_.certificate_dir = folder.path() + "/a/b/apiserver.crt";
  ASSERT_TRUE(Start().ok());
  EXPECT_NE(server_->certificate_pem(), first);
  const std::string in_memory = server_->certificate_pem();
  ASSERT_TRUE(server_->RefreshCertificate().ok());
  EXPECT_EQ(server_->certificate_pem(), in_memory);
  EXPECT_EQ(GetBare("/healthz").status, 200);
}

TEST_F(DelegatedServerTest, TlsVersionAndSuitesAreAsAsked) {
  options_.tls.tls13_only = true;
  ASSERT_TRUE(Start().ok());
  SSL_CTX* const old = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION);
  EXPECT_FALSE(RawHttp(server_->port(), old).connected());
  EXPECT_EQ(GetBare("/healthz").status, 200);
  server_.reset();
  options_.tls.tls13_only = false;
  options_.tls.cipher_suites = {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"};
  ASSERT_TRUE(Start().ok());
  {
    RawHttp client(server_->port(), old);
    ASSERT_TRUE(client.connected());
    EXPECT_STREQ(SSL_get_cipher(client.ssl()), "ECDHE-ECDSA-AES256-GCM-SHA384");
  }
  SSL_CTX_free(old);
  server_.reset();
  options_.tls.cipher_suites = {"TLS_NO_SUCH_SUITE"};
  EXPECT_EQ(Start().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace wheelpit::adapter
