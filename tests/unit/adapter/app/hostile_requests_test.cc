// Requests that mean harm, over real HTTPS: each is answered with a Status, and the next one as if
// nothing had been.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "adapter/app/adapter_server.h"
#include "nlohmann/json.hpp"
#include "tests/support/fake_metric_source.h"
#include "tests/support/raw_http.h"
#include "tests/support/std_threads.h"
#include "tests/support/temp_folder.h"

namespace wheelpit::adapter {
namespace {

constexpr char kBase[] = "/apis/external.metrics.k8s.io/v1beta1/namespaces/";

std::string Repeat(absl::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out.append(text.data(), text.size());
  return out;
}

class HostileRequestsTest : public ::testing::Test {
 protected:
  HostileRequestsTest() {
    AdapterOptions options;
    options.port = 0;
    options.data_dir = folder_.path();
    options.rules.gateway_counters = {"jobs_total"};
    source_.SetSeries("{__name__=\"jobs_total\"}", {{{"__name__", "jobs_total"}}});
    source_.SetValues("sum(rate(jobs_total{}[30s]))", {{{}, 7}});
    server_ = *AdapterServer::Start(options, {&source_, nullptr}, &StartStdThread, &clock_, &metrics_);
    context_ = SSL_CTX_new(TLS_client_method());
  }
  ~HostileRequestsTest() override {
    server_.reset();
    SSL_CTX_free(context_);
  }
  RawAnswer Send(absl::string_view request) {
    RawHttp client(server_->port(), context_);
    EXPECT_TRUE(client.connected());
    client.Send(request);
    return client.Read();
  }
  std::string Request(absl::string_view target, absl::string_view more = "") {
    return absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ",
                        server_->token(), "\r\n", more, "\r\n");
  }
  // A Status with the code of the answer, and the headers that every answer has.
  void ExpectStatus(const std::string& request, int code) {
    const std::string shown = request.substr(0, 120);
    const RawAnswer answer = Send(request);
    EXPECT_EQ(answer.status, code) << shown << " " << answer.body.substr(0, 300);
    EXPECT_EQ(answer.headers.count("audit-id"), 1) << shown;
    EXPECT_EQ(answer.headers.count("retry-after"), 0) << shown;
    const auto status = nlohmann::json::parse(answer.body, nullptr, false);
    ASSERT_TRUE(status.is_object()) << shown << answer.body.substr(0, 300);
    EXPECT_EQ(status.value("kind", ""), "Status") << shown;
    EXPECT_EQ(status.value("code", 0), code) << shown;
    EXPECT_LT(answer.body.size(), 64u << 10) << shown;
    const RawAnswer next = Send(Request(absl::StrCat(kBase, "shop/jobs_per_second")));
    EXPECT_EQ(next.status, 200) << shown << next.body;
  }

  TempFolder folder_;
  SystemClock clock_;
  MetricRegistry metrics_;
  FakeMetricSource source_;
  SSL_CTX* context_ = nullptr;
  std::unique_ptr<AdapterServer> server_;
};

TEST_F(HostileRequestsTest, Paths) {
  ExpectStatus(Request(absl::StrCat(kBase, "shop/", Repeat("a", 20000))), 414);
  ExpectStatus(Request(absl::StrCat(kBase, "shop/", Repeat("a", 4000))), 404);
  ExpectStatus(Request(absl::StrCat(kBase, "shop/", Repeat("/", 3000))), 404);
  ExpectStatus(Request(absl::StrCat(kBase, "shop/%")), 400);
  ExpectStatus(Request(absl::StrCat(kBase, "shop/%2")), 400);
  ExpectStatus(Request(absl::StrCat(kBase, "shop/%GG")), 400);
  for (const char* metric : {"%00", "%ff%fe", "..%2f..%2fetc", "%0d%0aX-Evil:%201", "<script>", "'\"\\"})
    ExpectStatus(Request(absl::StrCat(kBase, "shop/", metric)), 404);
  // A namespace is text in the query, never syntax.
  for (const char* name_space : {"%22%7D%20or%20vector(1)%20%23", "%ff", "%00", "a%2Fb"}) {
    EXPECT_EQ(Send(Request(absl::StrCat(kBase, name_space, "/jobs_per_second"))).status, 200);
  }
}

TEST_F(HostileRequestsTest, Selectors) {
  const std::string target = absl::StrCat(kBase, "shop/jobs_per_second?labelSelector=");
  ExpectStatus(Request(absl::StrCat(target, Repeat("(", 4000))), 400);
  ExpectStatus(Request(absl::StrCat(target, Repeat("!", 4000))), 400);
  ExpectStatus(Request(absl::StrCat(target, "a%20in%20(", Repeat(",", 4000), "b")), 400);
  ExpectStatus(Request(absl::StrCat(target, Repeat("z", 4000))), 400);
  ExpectStatus(Request(absl::StrCat(target, "a%3D%22%7D%20or%20up%23")), 400);
  ExpectStatus(Request(absl::StrCat(target, "%ff%3D%00")), 400);
  ExpectStatus(Request(absl::StrCat(target, "a&timeout=99999999999999999999h")), 400);
  ExpectStatus(Request(absl::StrCat(target, "a&timeout=-")), 400);
  ExpectStatus(Request(absl::StrCat(target, "&fieldSelector=", Repeat("a,", 2000))), 400);
  // Many requirements are a long query, no more: the source judges it.
  ExpectStatus(Request(absl::StrCat(target, "a", Repeat(",a!%3Db", 900))), 500);
}

TEST_F(HostileRequestsTest, HeadsAndBodies) {
  const std::string version = "/version";
  ExpectStatus(Request(version, absl::StrCat("X-Long: ", Repeat("h", 100000), "\r\n")), 431);
  ExpectStatus(Request(version, Repeat("X-Many: 1\r\n", 3000)), 431);
  ExpectStatus(Request(version, "Content-Length: 99999999999999999999\r\n"), 413);
  ExpectStatus(Request(version, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400);
  ExpectStatus(absl::StrCat(Request(version, "Transfer-Encoding: chunked\r\n"), "zz\r\n"), 400);
  ExpectStatus(absl::StrCat(Request(version, "Transfer-Encoding: chunked\r\n"),
                            "ffffffffffffffffff\r\nx"),
               400);
  ExpectStatus("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501);
  ExpectStatus("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505);
  ExpectStatus("GET / HTTP/1.1\r\n\r\n", 400);
  // A body where none is needed is read and is no matter.
  const RawAnswer read = Send(
      absl::StrCat(Request(version, "Transfer-Encoding: chunked\r\n"), "3\r\nabc\r\n0\r\n\r\n"));
  EXPECT_EQ(read.status, 200);
  // Nobody makes an audit id of more than it should be.
  const RawAnswer audit = Send(Request(version, absl::StrCat("Audit-Id: ", Repeat("i", 4000), "\r\n")));
  EXPECT_EQ(audit.headers.at("audit-id").size(), 128);
}

TEST_F(HostileRequestsTest, PlainHttpAndHalfHandshakesEndQuietly) {
  RawHttp plain(server_->port());
  plain.Send("GET /version HTTP/1.1\r\nHost: a\r\n\r\n");
  plain.Read();
  EXPECT_TRUE(plain.AtEnd());
  RawHttp half(server_->port());
  half.Send(absl::string_view("\x16\x03\x01\x02\x00\x01", 6));
  EXPECT_EQ(Send(Request("/version")).status, 200);
}

}  // namespace
}  // namespace wheelpit::adapter
