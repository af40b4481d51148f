// The front proxy's headers, client certificates, and the order of methods.
#include "adapter/auth/authentication.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/test_pki.h"

namespace wheelpit::adapter {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class AuthenticationTest : public ::testing::Test {
 protected:
  AuthenticationTest() {
    proxy_ = {*ClientCa::Create(proxy_ca_.pem()), {"front-proxy"}, {"X-Remote-User"},
              {"X-Remote-Uid"},                   {"X-Remote-Group"}, {"X-Remote-Extra-"}};
    Publish();
    std::vector<std::unique_ptr<AuthenticationMethod>> methods;
    methods.push_back(NewRequestHeaderMethod(&live_, &clock_));
    methods.push_back(NewClientCertificateMethod(&live_, &clock_));
    authenticator_ = NewMethodsAuthenticator(std::move(methods));
  }
  void Publish() {
    live_.Set({*ClientCa::Create(client_ca_.pem()), std::make_shared<RequestHeaderConfig>(proxy_)});
  }
  HttpRequest From(const TestCa& ca, const IssueOptions& options, HttpHeaders headers = {}) {
    HttpRequest request;
    request.peer.certificates_der = DerOf(ca.Issue(options).certificate_pem);
    request.headers = std::move(headers);
    return request;
  }
  UserInfo User(const HttpRequest& request) {
    auto user = authenticator_->Authenticate(request);
    EXPECT_TRUE(user.ok()) << user.status();
    return user.ok() ? *std::move(user) : UserInfo{};
  }
  std::string Refusal(const HttpRequest& request) {
    const auto user = authenticator_->Authenticate(request);
    EXPECT_EQ(user.status().code(), absl::StatusCode::kUnauthenticated);
    return std::string(user.status().message());
  }

  const TestCa proxy_ca_{"proxy-ca"}, client_ca_{"client-ca"}, other_ca_{"other-ca"};
  SystemClock clock_;
  RequestHeaderConfig proxy_;
  LiveAuthConfig live_;
  std::unique_ptr<Authenticator> authenticator_;
};

TEST_F(AuthenticationTest, BelievesTheFrontProxysHeaders) {
  const UserInfo user = User(From(proxy_ca_, {.common_name = "front-proxy"},
                                  {{"x-remote-user", "anna"},
                                   {"X-Remote-Uid", "u-1"},
                                   {"X-Remote-Group", "dev"},
                                   {"X-Remote-Group", "system%3Amasters"},
                                   {"X-Remote-Extra-Acme.com%2FProject", "a%20b"},
                                   {"X-Remote-Extra-Scopes", "one"},
                                   {"x-remote-extra-scopes", "two"}}));
  EXPECT_EQ(user.name, "anna");
  EXPECT_EQ(user.uid, "u-1");
  // Values are as they stand: this is no superuser.
  EXPECT_THAT(user.groups, ElementsAre("dev", "system%3Amasters", "system:authenticated"));
  EXPECT_THAT(user.extra, UnorderedElementsAre(Pair("acme.com/project", ElementsAre("a%20b")),
                                               Pair("scopes", ElementsAre("one", "two"))));
}

TEST_F(AuthenticationTest, TheFrontProxyMustBeTheOne) {
  const HttpHeaders headers = {{"X-Remote-User", "anna"}, {"X-Remote-Group", "system:masters"}};
  // The right CA and the wrong name.
  EXPECT_THAT(Refusal(From(proxy_ca_, {.common_name = "imposter"}, headers)),
              HasSubstr("allowed names"));
  // Neither CA.
  EXPECT_THAT(Refusal(From(other_ca_, {.common_name = "front-proxy"}, headers)),
              HasSubstr("certificate"));
  // A user's own certificate: the headers do not count.
  const UserInfo user = User(From(client_ca_, {.common_name = "front-proxy"}, headers));
  EXPECT_EQ(user.name, "front-proxy");
  EXPECT_THAT(user.groups, ElementsAre("system:authenticated"));
  // No certificate at all.
  HttpRequest bare;
  bare.headers = headers;
  EXPECT_EQ(User(bare).name, "system:anonymous");
  // Any name if none is listed.
  proxy_.allowed_names.clear();
  Publish();
  EXPECT_EQ(User(From(proxy_ca_, {.common_name = "imposter"}, headers)).name, "anna");
}

TEST_F(AuthenticationTest, AProxyWithoutAUserIsNobody) {
  // Then the certificate itself is judged, by a CA that does not know it.
  EXPECT_THAT(Refusal(From(proxy_ca_, {.common_name = "front-proxy"})), HasSubstr("certificate"));
  live_.Set({nullptr, std::make_shared<RequestHeaderConfig>(proxy_)});
  EXPECT_EQ(User(From(proxy_ca_, {.common_name = "front-proxy"}, {{"X-Remote-User", " "}})).name,
            "system:anonymous");
}

TEST_F(AuthenticationTest, AClientCertificateIsItsSubject) {
  const UserInfo user =
      User(From(client_ca_, {.common_name = "bob", .organizations = {"dev", "system:masters"}}));
  EXPECT_EQ(user.name, "bob");
  EXPECT_THAT(user.groups, ElementsAre("dev", "system:masters", "system:authenticated"));
  EXPECT_THAT(Refusal(From(client_ca_, {.common_name = "bob", .extended_key_usage = "serverAuth"})),
              HasSubstr("purpose"));
  // A subject without a name is nobody; only the proxy's CA complains.
  live_.Set({*ClientCa::Create(client_ca_.pem()), nullptr});
  EXPECT_EQ(User(From(client_ca_, {.common_name = "", .organizations = {"dev"}})).name,
            "system:anonymous");
}

TEST_F(AuthenticationTest, NobodyIsAnonymous) {
  const UserInfo user = User(HttpRequest());
  EXPECT_EQ(user.name, "system:anonymous");
  EXPECT_THAT(user.groups, ElementsAre("system:unauthenticated"));
  // Without any configuration certificates say nothing.
  live_.Set({});
  EXPECT_EQ(User(From(other_ca_, {.common_name = "x"})).name, "system:anonymous");
}

TEST_F(AuthenticationTest, AnAnonymousUserOfTheProxyStaysOne) {
  const UserInfo user = User(From(
      proxy_ca_, {.common_name = "front-proxy"},
      {{"X-Remote-User", "system:anonymous"}, {"X-Remote-Group", "system:unauthenticated"}}));
  EXPECT_THAT(user.groups, ElementsAre("system:unauthenticated"));
}

TEST_F(AuthenticationTest, ANewCaIsTakenWhileRunning) {
  const HttpRequest request = From(other_ca_, {.common_name = "carl"});
  Refusal(request);
  live_.Set({*ClientCa::Create(other_ca_.pem()), nullptr});
  EXPECT_EQ(User(request).name, "carl");
}

}  // namespace
}  // namespace wheelpit::adapter
