#include "adapter/http/impersonation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"

namespace wheelpit::adapter {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Allows what it was told, and keeps who asked for what.
class ListedAuthorizer final : public Authorizer {
 public:
  bool AllowsAnyone(const RequestAttributes&) const override { return false; }
  absl::Status Authorize(const UserInfo& user, const RequestAttributes& a) override {
    asked.push_back(absl::StrCat(user.name, " ", a.verb, " ", a.group, "/", a.resource, "/",
                                 a.subresource, " ", a.name_space, ":", a.name));
    const auto it = answers.find(a.resource);
    return it == answers.end() ? absl::OkStatus() : it->second;
  }
  std::map<std::string, absl::Status> answers;
  std::vector<std::string> asked;
};

class ImpersonationTest : public ::testing::Test {
 protected:
  std::variant<UserInfo, ApiStatus> Ask(HttpHeaders headers) {
    HttpRequest request;
    request.target = "/version";
    request.headers = std::move(headers);
    return Impersonate(request, {"admin", "7", {"ops"}, {}}, &authorizer_);
  }
  ListedAuthorizer authorizer_;
};

TEST_F(ImpersonationTest, WhoNamesNobodyIsThemselves) {
  const UserInfo user = std::get<UserInfo>(Ask({{"X-Other", "a"}}));
  EXPECT_EQ(user.name, "admin");
  EXPECT_THAT(user.groups, ElementsAre("ops"));
  EXPECT_TRUE(authorizer_.asked.empty());
}

TEST_F(ImpersonationTest, EveryPartIsAskedFor) {
  const UserInfo user = std::get<UserInfo>(
      Ask({{"impersonate-user", "bob"}, {"Impersonate-Group", "dev"}, {"Impersonate-Group", "a%20b"},
           {"Impersonate-Uid", "42"}, {"Impersonate-Extra-Acme.com%2Fscope", "view"}}));
  EXPECT_EQ(user.name, "bob");
  EXPECT_EQ(user.uid, "42");
  EXPECT_THAT(user.groups, ElementsAre("dev", "a%20b", "system:authenticated"));
  EXPECT_THAT(user.extra.at("acme.com/scope"), ElementsAre("view"));
  EXPECT_THAT(authorizer_.asked,
              ElementsAre("admin impersonate /users/ :bob", "admin impersonate /groups/ :dev",
                          "admin impersonate /groups/ :a%20b",
                          "admin impersonate authentication.k8s.io/userextras/acme.com/scope :view",
                          "admin impersonate authentication.k8s.io/uids/ :42"));
}

TEST_F(ImpersonationTest, AServiceAccountBringsItsGroups) {
  const UserInfo user =
      std::get<UserInfo>(Ask({{"Impersonate-User", "system:serviceaccount:kube-system:hpa"}}));
  EXPECT_THAT(authorizer_.asked,
              ElementsAre("admin impersonate /serviceaccounts/ kube-system:hpa"));
  EXPECT_THAT(user.groups,
              ElementsAre("system:serviceaccounts", "system:serviceaccounts:kube-system",
                          "system:authenticated"));
  EXPECT_THAT(std::get<UserInfo>(Ask({{"Impersonate-User", "system:anonymous"}})).groups,
              ElementsAre("system:unauthenticated"));
}

TEST_F(ImpersonationTest, WithoutTheRightNothingGoesOn) {
  authorizer_.answers["groups"] = absl::PermissionDeniedError("RBAC: no");
  const ApiStatus refused = std::get<ApiStatus>(
      Ask({{"Impersonate-User", "bob"}, {"Impersonate-Group", "system:masters"}}));
  EXPECT_EQ(refused.code, 403);
  EXPECT_EQ(refused.message,
            "groups \"system:masters\" is forbidden: User \"admin\" cannot impersonate resource "
            "\"groups\" in API group \"\" at the cluster scope: RBAC: no");
  authorizer_.answers["users"] = absl::UnavailableError("API server away");
  EXPECT_EQ(std::get<ApiStatus>(Ask({{"Impersonate-User", "bob"}})).code, 500);
}

TEST_F(ImpersonationTest, GroupsWithoutAUserAreNobody) {
  for (const char* name : {"Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-a"}) {
    const ApiStatus refused = std::get<ApiStatus>(Ask({{name, "x"}}));
    EXPECT_EQ(refused.code, 500) << name;
    EXPECT_THAT(refused.message, HasSubstr("without a user")) << name;
  }
  EXPECT_TRUE(authorizer_.asked.empty());
}

}  // namespace
}  // namespace wheelpit::adapter
