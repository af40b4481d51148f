// The whole of it on an API server over real HTTPS: settings followed live, from the cluster and
// from files.
#include "adapter/auth/delegated_auth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "tests/support/fake_kube_api.h"
#include "tests/support/temp_folder.h"

namespace wheelpit::adapter {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

class DelegatedAuthTest : public ::testing::Test {
 protected:
  ~DelegatedAuthTest() override { Stop(); }
  void Make() {
    auto made = DelegatedAuth::Create(options_, api_.Config(), api_.Config(), &clock_);
    ASSERT_TRUE(made.ok()) << made.status();
    auth_ = *std::move(made);
  }
  void Run() {
    thread_ = std::thread([this] { auth_->Run(); });
  }
  void Stop() {
    if (auth_ != nullptr) auth_->Stop();
    if (thread_.joinable()) thread_.join();
  }
  Json Data(const TestCa& client, const TestCa& proxy) {
    return {{"client-ca-file", client.pem()},
            {"requestheader-client-ca-file", proxy.pem()},
            {"requestheader-allowed-names", R"(["front"])"},
            {"requestheader-username-headers", R"(["X-Remote-User"])"}};
  }
  // The user of a certificate, or "" if it is refused.
  std::string User(const TestCa& ca, const std::string& name, HttpHeaders headers = {}) {
    HttpRequest request;
    request.peer.certificates_der = DerOf(ca.Issue({.common_name = name}).certificate_pem);
    request.headers = std::move(headers);
    const auto user = auth_->authenticator()->Authenticate(request);
    return user.ok() ? user->name : "";
  }

  const TestCa client_{"client"}, proxy_{"proxy"}, next_{"next"};
  SystemClock clock_;
  FakeKubeApi api_;
  DelegatedAuthOptions options_;
  std::unique_ptr<DelegatedAuth> auth_;
  std::thread thread_;
};

TEST_F(DelegatedAuthTest, TakesTheClustersSettings) {
  api_.SetAuthData(Data(client_, proxy_));
  Make();
  ASSERT_TRUE(auth_->Load().ok());
  EXPECT_EQ(User(client_, "anna"), "anna");
  EXPECT_EQ(User(proxy_, "front", {{"X-Remote-User", "bob"}}), "bob");
  EXPECT_EQ(User(proxy_, "else", {{"X-Remote-User", "bob"}}), "");
  EXPECT_EQ(User(next_, "carl"), "");
}

TEST_F(DelegatedAuthTest, FollowsARotationOfTheCa) {
  api_.SetAuthData(Data(client_, proxy_));
  Make();
  ASSERT_TRUE(auth_->Load().ok());
  Run();
  api_.AwaitWatches(1);
  EXPECT_EQ(User(next_, "carl"), "");
  api_.SetAuthData(Data(next_, proxy_));
  // The next watch begins when the change was taken.
  api_.AwaitWatches(2);
  EXPECT_EQ(User(next_, "carl"), "carl");
  EXPECT_EQ(User(client_, "anna"), "");
}

TEST_F(DelegatedAuthTest, ListsAgainWhenTheServerHasForgotten) {
  api_.SetAuthData(Data(client_, proxy_));
  Make();
  ASSERT_TRUE(auth_->Load().ok());
  Run();
  api_.AwaitWatches(1);
  const int lists = api_.lists();
  api_.ForgetHistory();
  api_.AwaitWatches(2);
  EXPECT_GT(api_.lists(), lists);
  EXPECT_EQ(User(client_, "anna"), "anna");
}

TEST_F(DelegatedAuthTest, KeepsTheLastGoodSettings) {
  api_.SetAuthData(Data(client_, proxy_));
  Make();
  ASSERT_TRUE(auth_->Load().ok());
  api_.SetAuthData({{"client-ca-file", "junk"}});
  ASSERT_TRUE(auth_->Load().ok());
  EXPECT_EQ(User(client_, "anna"), "anna");
  api_.FailNext(1, 500);
  EXPECT_FALSE(auth_->Load().ok());
  EXPECT_EQ(User(client_, "anna"), "anna");
}

TEST_F(DelegatedAuthTest, AFirstLookupThatFailsIsFatalUnlessTolerated) {
  Make();
  api_.FailNext(1, 403);
  const absl::Status fatal = auth_->Load();
  EXPECT_EQ(fatal.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(fatal.message()), HasSubstr("extension-apiserver-authentication-reader"));
  // Rights do not help where the server fails.
  api_.FailNext(1, 500);
  EXPECT_THAT(std::string(auth_->Load().message()), Not(HasSubstr("RoleBinding")));
  options_.tolerate_lookup_failure = true;
  Make();
  api_.FailNext(1, 403);
  EXPECT_TRUE(auth_->Load().ok());
  // Later it is there after all.
  api_.SetAuthData(Data(client_, proxy_));
  Run();
  api_.AwaitWatches(1);
  EXPECT_EQ(User(client_, "anna"), "anna");
}

TEST_F(DelegatedAuthTest, WithoutTheConfigMapCertificatesSayNothing) {
  Make();
  ASSERT_TRUE(auth_->Load().ok());
  EXPECT_EQ(User(client_, "anna"), "system:anonymous");
}

TEST_F(DelegatedAuthTest, FilesReplaceTheClustersSettings) {
  const TempFolder folder;
  api_.SetAuthData(Data(client_, proxy_));
  options_.feed.client_ca_file = folder.path() + "/ca.pem";
  std::ofstream(options_.feed.client_ca_file) << next_.pem();
  Make();
  ASSERT_TRUE(auth_->Load().ok());
  EXPECT_EQ(User(next_, "carl"), "carl");
  EXPECT_EQ(User(client_, "anna"), "");
  // The rest is the cluster's still.
  EXPECT_EQ(User(proxy_, "front", {{"X-Remote-User", "bob"}}), "bob");
  // They are read again.
  std::ofstream(options_.feed.client_ca_file) << client_.pem();
  ASSERT_TRUE(auth_->Load().ok());
  EXPECT_EQ(User(client_, "anna"), "anna");
  std::ofstream(options_.feed.client_ca_file) << "junk";
  EXPECT_FALSE(auth_->Load().ok());
  EXPECT_EQ(User(client_, "anna"), "anna");
}

TEST_F(DelegatedAuthTest, WithoutLookupOnlyFilesCount) {
  const TempFolder folder;
  api_.SetAuthData(Data(client_, proxy_));
  options_.feed.skip_lookup = true;
  options_.feed.request_header_ca_file = folder.path() + "/proxy.pem";
  options_.feed.request_header.username_headers = {"X-User"};
  std::ofstream(options_.feed.request_header_ca_file) << next_.pem();
  Make();
  ASSERT_TRUE(auth_->Load().ok());
  EXPECT_EQ(User(next_, "any", {{"X-User", "dora"}}), "dora");
  EXPECT_EQ(User(proxy_, "front", {{"X-Remote-User", "bob"}}), "");
  EXPECT_EQ(api_.lists(), 0);
}

TEST_F(DelegatedAuthTest, ReviewsTokensAndAccess) {
  api_.SetUser("t1", {{"username", "anna"}, {"groups", {"dev"}}});
  api_.Allow("anna", "queue_depth");
  Make();
  HttpRequest request;
  request.headers = {{"Authorization", "Bearer t1"}};
  const auto user = auth_->authenticator()->Authenticate(request);
  ASSERT_TRUE(user.ok()) << user.status();
  RequestAttributes attributes;
  attributes.is_resource = true;
  attributes.resource = "queue_depth";
  EXPECT_TRUE(auth_->authorizer()->Authorize(*user, attributes).ok());
  EXPECT_EQ(api_.last_spec()["groups"], (Json{"dev", "system:authenticated"}));
  attributes.resource = "other";
  EXPECT_EQ(auth_->authorizer()->Authorize(*user, attributes),
            absl::PermissionDeniedError("no rule says so"));
}

TEST_F(DelegatedAuthTest, AnApiServerThatIsAwayRefusesNewcomersOnly) {
  api_.SetUser("t1", {{"username", "anna"}});
  api_.SetAuthData(Data(client_, proxy_));
  Make();
  ASSERT_TRUE(auth_->Load().ok());
  HttpRequest request;
  request.headers = {{"Authorization", "Bearer t1"}};
  ASSERT_TRUE(auth_->authenticator()->Authenticate(request).ok());
  api_.Stop();
  auth_->Stop();  // no waiting between tries
  EXPECT_TRUE(auth_->authenticator()->Authenticate(request).ok());
  EXPECT_EQ(User(client_, "anna"), "anna");
  request.headers = {{"Authorization", "Bearer t2"}};
  EXPECT_EQ(auth_->authenticator()->Authenticate(request).status().code(),
            absl::StatusCode::kUnauthenticated);
}

}  // namespace
}  // namespace wheelpit::adapter
