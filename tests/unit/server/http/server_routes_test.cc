#include "server/http/server_routes.h"

#include "absl/strings/str_cat.h"
#include "base/http/gzip.h"
#include "base/http/http_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/exposition/self_metrics.h"
#include "tests/support/raw_http.h"
#include "tests/support/std_threads.h"
#include "tests/unit/server/exposition/test_store.h"
#include "tests/unit/server/http/fake_http_backend.h"

namespace wheelpit {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

// The real page cache behind the routes, and the real server in front of them.
class ServerRoutesTest : public testing::Test {
 protected:
  ServerRoutesTest()
      : pages_(PageCache::Create(&store_.store)),
        scraper_(Scraper::Create(pages_.get(), {}, {})),
        routes_({.version = "1.2<3", .waits_max = 2}, &backend_, scraper_.get(), nullptr) {
    routes_.AddTo(&router_);
    const SeriesId id = store_.Make("jobs_total", MetricType::kCounter, {{"q", "a"}}, "Jobs.");
    store_.Count(id, 3);
  }
  HttpResponse Ask(const std::string& target, HttpHeaders headers = {}) {
    return router_.Handle(MakeRequest("GET", target, std::move(headers)));
  }

  TestStore store_;
  std::unique_ptr<PageCache> pages_;
  std::unique_ptr<Scraper> scraper_;
  FakeHttpBackend backend_;
  ServerRoutes routes_;
  HttpRouter router_;
};

TEST_F(ServerRoutesTest, MetricsFollowTheAcceptHeader) {
  const HttpResponse text = Ask("/metrics");
  EXPECT_EQ(text.content_type, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
  EXPECT_EQ(text.content(), "# HELP jobs_total Jobs.\n# TYPE jobs_total counter\njobs_total{q=\"a\"} 3\n");
  EXPECT_EQ(HeaderOf(text, "Vary"), "Accept, Accept-Encoding");
  const HttpResponse open = Ask("/metrics", {{"Accept", "application/openmetrics-text; version=1.0.0"}});
  EXPECT_EQ(open.content(), "# TYPE jobs counter\n# HELP jobs Jobs.\njobs_total{q=\"a\"} 3\n# EOF\n");
  EXPECT_EQ(Ask("/metrics?name[]=other").content(), "");
  EXPECT_THAT(Ask("/metrics?created=1").content(), HasSubstr("jobs_created{q=\"a\"} 1700000000.123\n"));
}

TEST_F(ServerRoutesTest, ReadinessIsTheBackends) {
  EXPECT_EQ(Ask("/readyz").status, 200);
  backend_.ready = MakeError(absl::StatusCode::kUnavailable, "STARTING", "reading the journal: 40 %");
  EXPECT_EQ(Ask("/readyz").status, 503);
  EXPECT_EQ(Ask("/readyz").body, "reading the journal: 40 %\n");
  EXPECT_EQ(Ask("/healthz").status, 200);
  EXPECT_THAT(Ask("/").body, HasSubstr("wheelpit-server 1.2&lt;3: reading the journal"));
}

TEST_F(ServerRoutesTest, UnknownPathsAndMethods) {
  EXPECT_EQ(Ask("/v1/queues/q").status, 404);
  EXPECT_EQ(router_.Handle(MakeRequest("POST", "/metrics")).status, 405);
  EXPECT_EQ(Ask("/api/v1/query?query=1").status, 404) << "without a query engine";
}

TEST_F(ServerRoutesTest, OverRealSockets) {
  SystemClock clock;
  auto server = HttpServer::Start({}, [this](const HttpRequest& r) { return router_.Handle(r); }, StartStdThread, &clock);
  ASSERT_TRUE(server.ok()) << server.status();
  const int port = (*server)->port();
  for (int i = 0; i < 200; ++i) store_.Make("many_total", MetricType::kCounter, {{"n", absl::StrCat(i)}});
  const RawAnswer plain = RawGet(port, "/metrics");
  EXPECT_THAT(plain.body, EndsWith("many_total{n=\"199\"} 0\n"));
  const RawAnswer packed = RawGet(port, "/metrics", "Accept-Encoding: gzip\r\n");
  EXPECT_EQ(packed.headers.at("content-encoding"), "gzip");
  EXPECT_EQ(*GzipDecompress(packed.body, 1 << 20), plain.body);
  RawHttp client(port);
  client.Send("HEAD /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(client.Read(/*head=*/true).headers.at("content-length"), absl::StrCat(plain.body.size()));
  backend_.outcome = {TaskId{9}, false, TaskState::kReady};
  client.Send("POST /v1/queues/q%2Ax/tasks HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi");
  EXPECT_EQ(client.Read().status, 202);
  EXPECT_EQ(backend_.submitted.at(0).queue, "q*x");
  EXPECT_EQ(backend_.submitted.at(0).payload, "hi");
}

TEST_F(ServerRoutesTest, RequestsAndScrapesAreCounted) {
  Ask("/healthz");
  Ask("/metrics");
  std::string page;
  for (const auto& family : SelfMetrics(&OwnMetrics(), "").Collect()) page += RenderPrometheusFamily(family, {}).text;
  EXPECT_THAT(page, HasSubstr("wheelpit_http_requests_total{code=\"200\",route=\"/healthz\"}"));
  EXPECT_THAT(page, HasSubstr("wheelpit_scrapes_total{code=\"200\",encoding=\"identity\",format=\"text\"}"));
}

}  // namespace
}  // namespace wheelpit
