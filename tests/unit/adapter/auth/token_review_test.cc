#include "adapter/auth/token_review.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/adapter/auth/scripted_kube.h"

namespace wheelpit::adapter {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Json = nlohmann::json;

class TokenReviewTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::optional<UserInfo>> Try(const std::string& authorization) {
    HttpRequest request;
    if (!authorization.empty()) request.headers = {{"Authorization", authorization}};
    return method_->Try(request);
  }
  ScriptedKube kube_;
  const Json yes_ = {{"status",
                      {{"authenticated", true},
                       {"user",
                        {{"username", "system:serviceaccount:ns:sa"},
                         {"uid", "u-1"},
                         {"groups", {"system:serviceaccounts", "system:authenticated"}},
                         {"extra", {{"k", {"v", "w"}}}}}}}}};
  const Json no_ = {{"status", {{"authenticated", false}, {"error", "invalid"}}}};
  std::unique_ptr<AuthenticationMethod> method_ =
      NewTokenReviewMethod(kube_.Parts(), absl::Seconds(10));
};

TEST_F(TokenReviewTest, AsksWhoseTheTokenIs) {
  kube_.answers = {yes_};
  const auto user = Try("bearer abc");
  ASSERT_TRUE(user.ok() && user->has_value()) << user.status();
  EXPECT_EQ((*user)->name, "system:serviceaccount:ns:sa");
  EXPECT_EQ((*user)->uid, "u-1");
  EXPECT_THAT((*user)->groups, ElementsAre("system:serviceaccounts", "system:authenticated"));
  EXPECT_THAT((*user)->extra.at("k"), ElementsAre("v", "w"));
  EXPECT_THAT(kube_.targets, ElementsAre("/apis/authentication.k8s.io/v1/tokenreviews"));
  EXPECT_EQ(kube_.bodies[0]["spec"]["token"], "abc");
  EXPECT_EQ(kube_.bodies[0]["kind"], "TokenReview");
}

TEST_F(TokenReviewTest, OtherCredentialsAreNotItsMatter) {
  for (const char* header : {"", "Basic abc", "Bearer", "Bearer ", "abc"}) {
    const auto user = Try(header);
    EXPECT_TRUE(user.ok() && !user->has_value()) << header;
  }
  EXPECT_THAT(kube_.targets, SizeIs(0));
}

TEST_F(TokenReviewTest, RemembersBothAnswersForTenSeconds) {
  kube_.answers = {yes_, no_};
  ASSERT_TRUE(Try("Bearer good").ok());
  EXPECT_EQ(Try("Bearer bad").status().code(), absl::StatusCode::kUnauthenticated);
  kube_.clock.Advance(9'999);
  EXPECT_TRUE(Try("Bearer good").ok());
  EXPECT_FALSE(Try("Bearer bad").ok());
  EXPECT_THAT(kube_.targets, SizeIs(2));
  kube_.clock.Advance(2);
  // Asked again: the last answer stays.
  EXPECT_FALSE(Try("Bearer good").ok());
  EXPECT_THAT(kube_.targets, SizeIs(3));
}

TEST_F(TokenReviewTest, AsksAgainWhenTheServerFailsForAMoment) {
  kube_.answers = {absl::UnavailableError("1"), absl::UnavailableError("2"), yes_};
  EXPECT_TRUE(Try("Bearer abc").ok());
  ASSERT_THAT(kube_.waits, SizeIs(2));
  EXPECT_GE(kube_.waits[0], absl::Milliseconds(500));
  EXPECT_LE(kube_.waits[0], absl::Milliseconds(600));
  EXPECT_GE(kube_.waits[1], absl::Milliseconds(750));
}

TEST_F(TokenReviewTest, GivesUpAfterFiveTriesAndRemembersNothing) {
  kube_.answers = {absl::UnavailableError("down")};
  const auto user = Try("Bearer abc");
  EXPECT_EQ(user.status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(user.status().message()), HasSubstr("down"));
  EXPECT_THAT(kube_.targets, SizeIs(5));
  kube_.answers = {yes_};
  EXPECT_TRUE(Try("Bearer abc").ok());
}

TEST_F(TokenReviewTest, WhatWillNotPassIsNotTriedAgain) {
  kube_.answers = {absl::PermissionDeniedError("no auth-delegator")};
  EXPECT_FALSE(Try("Bearer abc").ok());
  EXPECT_THAT(kube_.targets, SizeIs(1));
  kube_.answers = {absl::UnavailableError("down")};
  kube_.stopping = true;
  EXPECT_FALSE(Try("Bearer abc").ok());
  EXPECT_THAT(kube_.targets, SizeIs(2));
}

TEST_F(TokenReviewTest, AnAnswerWithoutADecisionIsANo) {
  for (const Json& odd : {Json::object(), Json{{"status", "x"}}, Json{{"status", {{"authenticated", 1}}}}}) {
    kube_.answers = {odd};
    EXPECT_FALSE(Try("Bearer " + odd.dump()).ok());
  }
}

}  // namespace
}  // namespace wheelpit::adapter
