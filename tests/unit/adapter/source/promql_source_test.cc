// The source against an HTTP server that writes down what it was asked.
#include "adapter/source/promql_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/http/http_server.h"
#include "base/sync.h"
#include "tests/support/std_threads.h"
#include "tests/support/temp_folder.h"
#include "tests/support/test_pki.h"

namespace wheelpit::adapter {
namespace {

using ::testing::HasSubstr;

constexpr char kOne[] =
    R"({"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[5,"1"]}]}})";
constexpr char kSeries[] = R"({"status":"success","data":[{"__name__":"a"}]})";

class PromqlSourceTest : public ::testing::Test {
 protected:
  void Serve(const TestCertificate& certificate = {}) {
    HttpServerOptions options;
    options.certificate_pem = certificate.certificate_pem;
    options.key_pem = certificate.key_pem;
    auto server = HttpServer::Start(
        options,
        [this](const HttpRequest& request) {
          MutexLock lock(&mu_);
          requests_.push_back(request);
          while (hold_) released_.Wait(&mu_);
          if (request.method == "POST" && refuse_posts_) return TextResponse(405, "no");
          return JsonResponse(200, request.path.back() == "series" ? kSeries : kOne);
        },
        &StartStdThread, &clock_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    options_.url = absl::StrCat(certificate.key_pem.empty() ? "http" : "https", "://127.0.0.1:",
                                server_->port());
  }
  void Make() {
    auto source = NewPromqlSource(options_, &clock_);
    ASSERT_TRUE(source.ok()) << source.status();
    source_ = *std::move(source);
  }
  absl::StatusOr<SourceResult> Ask(const std::string& query = "up") {
    return source_->Query(query, absl::InfinitePast(), absl::Seconds(10));
  }
  HttpRequest Last() {
    MutexLock lock(&mu_);
    return requests_.back();
  }

  SystemClock clock_;
  PromqlSourceOptions options_;
  Mutex mu_;
  CondVar released_;
  bool hold_ = false;
  bool refuse_posts_ = false;
  std::vector<HttpRequest> requests_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<MetricSource> source_;
};

TEST_F(PromqlSourceTest, AsksByGetWithTimeAndTimeout) {
  Serve();
  options_.headers = {{"X-Scope-OrgID", "team a"}};
  options_.url += "/prom/?dropped=1";
  Make();
  const auto result = source_->Query("sum(x{a=\"b|c\"})", absl::FromUnixMillis(1714557600120),
                                     absl::Milliseconds(9500));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->elements[0].value, 1);
  EXPECT_EQ(absl::ToUnixSeconds(result->evaluated_at), 5);
  const HttpRequest request = Last();
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.RawPath(), "/prom/api/v1/query");
  EXPECT_EQ(request.Query("query"), "sum(x{a=\"b|c\"})");
  EXPECT_EQ(request.Query("time"), "1714557600.12");
  EXPECT_EQ(request.Query("timeout"), "9500ms");
  EXPECT_FALSE(request.HasQuery("dropped"));
  EXPECT_EQ(request.Header("X-Scope-OrgID"), "team a");
  EXPECT_EQ(source_->name(), "prometheus");
}

TEST_F(PromqlSourceTest, ListsSeriesOfALateEnoughTime) {
  Serve();
  options_.max_age = absl::Minutes(5);
  Make();
  const absl::Time before = clock_.WallNow();
  const auto series = source_->Series({"a{x!=\"\"}", "b"}, absl::Seconds(10));
  ASSERT_TRUE(series.ok()) << series.status();
  EXPECT_EQ(series->series[0].at("__name__"), "a");
  const HttpRequest request = Last();
  EXPECT_EQ(request.RawPath(), "/api/v1/series");
  EXPECT_EQ(request.query[0], std::make_pair(std::string("match[]"), std::string("a{x!=\"\"}")));
  EXPECT_EQ(request.query[1], std::make_pair(std::string("match[]"), std::string("b")));
  double start = 0;
  ASSERT_TRUE(absl::SimpleAtod(request.Query("start"), &start));
  EXPECT_NEAR(start, absl::ToDoubleSeconds(before - absl::UnixEpoch()) - 300, 60);
}

TEST_F(PromqlSourceTest, PostsOnRequestAndWhatIsLong) {
  Serve();
  Make();
  const std::string long_query = absl::StrCat("up{a=~\"", std::string(3000, 'x'), "\"}");
  ASSERT_TRUE(Ask(long_query).ok());
  EXPECT_EQ(Last().method, "POST");
  EXPECT_EQ(ParseQuery(Last().body)[0].second, long_query);
  EXPECT_EQ(Last().Header("Content-Type"), "application/x-www-form-urlencoded");
  // A server that takes no posts gets it in the URL after all.
  refuse_posts_ = true;
  ASSERT_TRUE(Ask(long_query).ok());
  EXPECT_EQ(Last().method, "GET");
  EXPECT_EQ(Last().Query("query"), long_query);
  refuse_posts_ = false;
  options_.post = true;
  Make();
  ASSERT_TRUE(Ask().ok());
  EXPECT_EQ(Last().method, "POST");
  EXPECT_EQ(Last().target, "/api/v1/query");
}

TEST_F(PromqlSourceTest, ShowsItsTokenAsTheFileHasItNow) {
  Serve();
  const TempFolder folder;
  options_.token_file = folder.path() + "/token";
  std::ofstream(options_.token_file) << "one\n";
  Make();
  ASSERT_TRUE(Ask().ok());
  EXPECT_EQ(Last().Header("Authorization"), "Bearer one");
  std::ofstream(options_.token_file) << "two";
  ASSERT_TRUE(Ask().ok());
  EXPECT_EQ(Last().Header("Authorization"), "Bearer two");
  std::filesystem::remove(options_.token_file);
  EXPECT_THAT(std::string(Ask().status().message()), HasSubstr("token"));
}

TEST_F(PromqlSourceTest, TheUrlsUserIsBasicAuthentication) {
  Serve();
  options_.url = absl::StrCat("http://me:pass@127.0.0.1:", server_->port());
  Make();
  ASSERT_TRUE(Ask().ok());
  EXPECT_EQ(Last().Header("Authorization"), "Basic bWU6cGFzcw==");
}

TEST_F(PromqlSourceTest, TalksTlsWithCertificatesFromFiles) {
  const TestCa ca("ca");
  Serve(ca.IssueServer());
  const TempFolder folder;
  const TestCertificate own = ca.Issue({.common_name = "adapter"});
  options_.ca_file = folder.path() + "/ca.pem";
  options_.certificate_file = folder.path() + "/tls.crt";
  options_.key_file = folder.path() + "/tls.key";
  std::ofstream(options_.ca_file) << ca.pem();
  std::ofstream(options_.certificate_file) << own.certificate_pem;
  std::ofstream(options_.key_file) << own.key_pem;
  Make();
  ASSERT_TRUE(Ask().ok());
  EXPECT_EQ(Last().peer.certificates_der.size(), 1);
  const TestCa other("other");
  std::ofstream(options_.ca_file) << other.pem();
  Make();
  const absl::Status refused = Ask().status();
  EXPECT_EQ(ErrorReason(refused), kReasonUnreachable);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("certificate"));
  std::ofstream(options_.ca_file) << "junk";
  EXPECT_EQ(NewPromqlSource(options_, &clock_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(PromqlSourceTest, ASilentServerIsATimeoutAndNoneIsUnreachable) {
  Serve();
  Make();
  {
    MutexLock lock(&mu_);
    hold_ = true;
  }
  const auto late = source_->Query("up", absl::InfinitePast(), absl::Milliseconds(20));
  EXPECT_EQ(ErrorReason(late.status()), kReasonTimeout);
  {
    MutexLock lock(&mu_);
    hold_ = false;
    released_.SignalAll();
  }
  server_.reset();
  EXPECT_EQ(ErrorReason(Ask().status()), kReasonUnreachable);
  options_.url = "prometheus:9090";
  EXPECT_EQ(NewPromqlSource(options_, &clock_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace wheelpit::adapter
