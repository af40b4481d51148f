#include "adapter/auth/client_ca.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/test_pki.h"

namespace wheelpit::adapter {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ClientCaTest : public ::testing::Test {
 protected:
  std::string Refusal(const std::vector<std::string>& chain, absl::Time at = absl::Now()) {
    const auto subject = trusted_->Verify(chain, at, 0);
    EXPECT_EQ(subject.status().code(), absl::StatusCode::kUnauthenticated);
    return std::string(subject.status().message());
  }
  const TestCa ca_{"ca"};
  const std::shared_ptr<const ClientCa> trusted_ = *ClientCa::Create(ca_.pem());
};

TEST_F(ClientCaTest, GivesTheSubjectOfAGoodCertificate) {
  const auto subject = trusted_->Verify(
      DerOf(ca_.Issue({.common_name = "anna", .organizations = {"dev", "ops"}}).certificate_pem),
      absl::Now(), 0);
  ASSERT_TRUE(subject.ok()) << subject.status();
  EXPECT_EQ(subject->common_name, "anna");
  EXPECT_THAT(subject->organizations, ElementsAre("dev", "ops"));
  // Without any extended usage it is for everything.
  EXPECT_TRUE(trusted_
                  ->Verify(DerOf(ca_.Issue({.common_name = "x", .extended_key_usage = ""})
                                     .certificate_pem),
                           absl::Now(), 0)
                  .ok());
}

TEST_F(ClientCaTest, RefusesOthers) {
  const TestCa other("ca");  // of the same name
  EXPECT_THAT(Refusal(DerOf(other.Issue({.common_name = "anna"}).certificate_pem)),
              HasSubstr("client certificate: "));
  EXPECT_THAT(Refusal(DerOf(ca_.IssueServer().certificate_pem)), HasSubstr("purpose"));
  EXPECT_THAT(
      Refusal(DerOf(ca_.Issue({.common_name = "old", .valid_seconds = -3600}).certificate_pem)),
      HasSubstr("expired"));
  const auto anna = DerOf(ca_.Issue({.common_name = "anna"}).certificate_pem);
  EXPECT_THAT(Refusal(anna, absl::Now() + absl::Hours(48)), HasSubstr("expired"));
  EXPECT_THAT(Refusal(anna, absl::Now() - absl::Hours(48)), HasSubstr("not yet valid"));
  EXPECT_THAT(Refusal({"junk"}), HasSubstr("does not parse"));
  EXPECT_THAT(Refusal({}), HasSubstr("no client certificate"));
  EXPECT_THAT(Refusal(DerOf(MakeTestCertificate("self").certificate_pem)), HasSubstr("self"));
  EXPECT_THAT(Refusal(std::vector<std::string>(11, anna[0])), HasSubstr("too many"));
}

TEST_F(ClientCaTest, FollowsAnIntermediateCa) {
  // The text of a file may hold several.
  const TestCa second("second");
  const auto both = *ClientCa::Create(ca_.pem() + second.pem());
  for (const TestCa* issuer : {&ca_, &second}) {
    EXPECT_TRUE(
        both->Verify(DerOf(issuer->Issue({.common_name = "a"}).certificate_pem), absl::Now(), 0)
            .ok());
  }
}

TEST_F(ClientCaTest, RemembersAGoodChainForASmallWhile) {
  const auto anna = DerOf(ca_.Issue({.common_name = "anna"}).certificate_pem);
  ASSERT_TRUE(trusted_->Verify(anna, absl::Now(), 0).ok());
  const absl::Time later = absl::Now() + absl::Hours(48);
  EXPECT_TRUE(trusted_->Verify(anna, later, absl::ToInt64Nanoseconds(absl::Seconds(9))).ok());
  EXPECT_FALSE(trusted_->Verify(anna, later, absl::ToInt64Nanoseconds(absl::Seconds(11))).ok());
}

TEST_F(ClientCaTest, TextsThatAreNoCa) {
  EXPECT_EQ(ClientCa::Create("").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ClientCa::Create("junk").status().code(), absl::StatusCode::kInvalidArgument);
  const std::string damaged = ca_.pem() + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  EXPECT_THAT(std::string(ClientCa::Create(damaged).status().message()),
              HasSubstr("certificate 2 is damaged"));
}

}  // namespace
}  // namespace wheelpit::adapter
