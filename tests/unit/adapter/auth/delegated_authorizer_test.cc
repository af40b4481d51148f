#include "adapter/auth/delegated_authorizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/adapter/auth/scripted_kube.h"

namespace wheelpit::adapter {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;
using Json = nlohmann::json;

class DelegatedAuthorizerTest : public ::testing::Test {
 protected:
  static RequestAttributes Path(const std::string& path) {
    RequestAttributes attributes;
    attributes.verb = "get";
    attributes.path = path;
    return attributes;
  }
  static RequestAttributes External(const std::string& metric) {
    RequestAttributes attributes;
    attributes.verb = "list";
    attributes.is_resource = true;
    attributes.group = "external.metrics.k8s.io";
    attributes.version = "v1beta1";
    attributes.name_space = "shop";
    attributes.resource = metric;
    return attributes;
  }
  static Json Answer(bool allowed, const std::string& reason = "") {
    return {{"status", {{"allowed", allowed}, {"reason", reason}}}};
  }
  ScriptedKube kube_;
  DelegatedAuthorizerOptions options_;
  const UserInfo anna_ = {"anna", "", {"dev", "system:authenticated"}, {}};
};

TEST_F(DelegatedAuthorizerTest, SuperusersMayDoEverything) {
  const auto authorizer = NewDelegatedAuthorizer(kube_.Parts(), options_);
  EXPECT_TRUE(authorizer->Authorize({"x", "", {"system:masters"}, {}}, Path("/metrics")).ok());
  EXPECT_THAT(kube_.targets, SizeIs(0));
}

TEST_F(DelegatedAuthorizerTest, SomePathsAreOpen) {
  options_.always_allow_paths = {"/healthz", "livez", "/open/*"};
  const auto authorizer = NewDelegatedAuthorizer(kube_.Parts(), options_);
  for (const char* open : {"/healthz", "/livez", "/open/", "/open/a/b"}) {
    EXPECT_TRUE(authorizer->AllowsAnyone(Path(open))) << open;
    EXPECT_TRUE(authorizer->Authorize(anna_, Path(open)).ok());
  }
  EXPECT_THAT(kube_.targets, SizeIs(0));
  for (const char* closed : {"/", "/healthz/ping", "/readyz", "/open", "/metrics", "/apis"})
    EXPECT_FALSE(authorizer->AllowsAnyone(Path(closed))) << closed;
  RequestAttributes resource = External("healthz");
  resource.path = "/healthz";
  EXPECT_FALSE(authorizer->AllowsAnyone(resource));
}

TEST_F(DelegatedAuthorizerTest, AsksAboutPaths) {
  kube_.answers = {Answer(true)};
  const auto authorizer = NewDelegatedAuthorizer(kube_.Parts(), options_);
  EXPECT_TRUE(authorizer->Authorize(anna_, Path("/metrics")).ok());
  EXPECT_THAT(kube_.targets, ElementsAre("/apis/authorization.k8s.io/v1/subjectaccessreviews"));
  EXPECT_EQ(kube_.bodies[0]["kind"], "SubjectAccessReview");
  EXPECT_EQ(kube_.bodies[0]["spec"],
            (Json{{"user", "anna"},
                  {"groups", {"dev", "system:authenticated"}},
                  {"nonResourceAttributes", {{"path", "/metrics"}, {"verb", "get"}}}}));
}

TEST_F(DelegatedAuthorizerTest, AsksAboutResourcesWithAllThatIsKnownOfTheUser) {
  kube_.answers = {Answer(true)};
  const auto authorizer = NewDelegatedAuthorizer(kube_.Parts(), options_);
  const UserInfo user = {"sa", "u-1", {"g"}, {{"k", {"v"}}}};
  EXPECT_TRUE(authorizer->Authorize(user, External("queue_depth")).ok());
  EXPECT_EQ(kube_.bodies[0]["spec"],
            (Json{{"user", "sa"},
                  {"groups", {"g"}},
                  {"uid", "u-1"},
                  {"extra", {{"k", {"v"}}}},
                  {"resourceAttributes",
                   {{"verb", "list"},
                    {"group", "external.metrics.k8s.io"},
                    {"version", "v1beta1"},
                    {"resource", "queue_depth"},
                    {"namespace", "shop"}}}}));
  RequestAttributes pod = External("pods");
  pod.verb = "get";
  pod.name = "*";
  pod.subresource = "rate";
  EXPECT_TRUE(authorizer->Authorize(user, pod).ok());
  EXPECT_EQ(kube_.bodies[1]["spec"]["resourceAttributes"]["name"], "*");
  EXPECT_EQ(kube_.bodies[1]["spec"]["resourceAttributes"]["subresource"], "rate");
}

TEST_F(DelegatedAuthorizerTest, ANoHasItsReason) {
  kube_.answers = {Answer(false, "no rule")};
  const auto authorizer = NewDelegatedAuthorizer(kube_.Parts(), options_);
  EXPECT_EQ(authorizer->Authorize(anna_, External("m")), absl::PermissionDeniedError("no rule"));
  kube_.answers = {Json{{"status", Json{{"allowed", true}, {"denied", true}}}}};
  EXPECT_TRUE(absl::IsPermissionDenied(authorizer->Authorize(anna_, External("n"))));
}

TEST_F(DelegatedAuthorizerTest, RemembersAnswersEachForItsTime) {
  options_.allowed_ttl = absl::Seconds(10);
  options_.denied_ttl = absl::Seconds(4);
  kube_.answers = {Answer(true), Answer(false)};
  const auto authorizer = NewDelegatedAuthorizer(kube_.Parts(), options_);
  EXPECT_TRUE(authorizer->Authorize(anna_, External("a")).ok());
  EXPECT_FALSE(authorizer->Authorize(anna_, External("b")).ok());
  kube_.clock.Advance(3'999);
  EXPECT_TRUE(authorizer->Authorize(anna_, External("a")).ok());
  EXPECT_FALSE(authorizer->Authorize(anna_, External("b")).ok());
  EXPECT_THAT(kube_.targets, SizeIs(2));
  kube_.clock.Advance(2);
  kube_.answers = {Answer(true)};
  EXPECT_TRUE(authorizer->Authorize(anna_, External("b")).ok());
  EXPECT_THAT(kube_.targets, SizeIs(3));
  // Another user, group or verb is another question.
  UserInfo other = anna_;
  other.groups.push_back("more");
  EXPECT_TRUE(authorizer->Authorize(other, External("a")).ok());
  RequestAttributes watch = External("a");
  watch.verb = "watch";
  EXPECT_TRUE(authorizer->Authorize(anna_, watch).ok());
  EXPECT_THAT(kube_.targets, SizeIs(5));
}

TEST_F(DelegatedAuthorizerTest, AFailedCallIsNeitherYesNorNo) {
  kube_.answers = {absl::PermissionDeniedError("HTTP 403: no auth-delegator")};
  const auto authorizer = NewDelegatedAuthorizer(kube_.Parts(), options_);
  const absl::Status failed = authorizer->Authorize(anna_, External("m"));
  EXPECT_EQ(failed.code(), absl::StatusCode::kUnavailable);
  kube_.answers = {Json::object()};
  EXPECT_EQ(authorizer->Authorize(anna_, External("m")).code(), absl::StatusCode::kUnavailable);
  kube_.answers = {Answer(true)};
  EXPECT_TRUE(authorizer->Authorize(anna_, External("m")).ok());
}

}  // namespace
}  // namespace wheelpit::adapter
