// The client against an API server over real HTTPS.
#include "adapter/kube/kube_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/fake_kube_api.h"
#include "tests/support/temp_folder.h"

namespace wheelpit::adapter {
namespace {

using ::testing::HasSubstr;

TEST(KubeClientTest, PostsAndGetsJson) {
  FakeKubeApi api;
  api.SetUser("t", {{"username", "anna"}});
  SystemClock clock;
  const auto client = NewKubeClient(api.Config(), &clock);
  ASSERT_TRUE(client.ok()) << client.status();
  const auto review = (*client)->Post("/apis/authentication.k8s.io/v1/tokenreviews",
                                      {{"spec", {{"token", "t"}}}}, absl::Seconds(10));
  ASSERT_TRUE(review.ok()) << review.status();
  EXPECT_EQ((*review)["status"]["user"]["username"], "anna");
}

TEST(KubeClientTest, ReadsItsTokenFileEachTime) {
  FakeKubeApi api;
  SystemClock clock;
  const TempFolder folder;
  KubeConfig config = api.Config();
  config.token = "";
  config.token_file = folder.path() + "/token";
  std::ofstream(config.token_file) << "old";
  const auto client = *NewKubeClient(config, &clock);
  const std::string lists =
      "/api/v1/namespaces/kube-system/configmaps?fieldSelector=metadata.name%3D"
      "extension-apiserver-authentication";
  EXPECT_EQ(client->Get(lists, absl::Seconds(10)).status().code(),
            absl::StatusCode::kUnauthenticated);
  std::ofstream(config.token_file) << FakeKubeApi::kOwnToken << "\n";
  EXPECT_TRUE(client->Get(lists, absl::Seconds(10)).ok());
  // A moment without the file is no harm.
  std::filesystem::remove(config.token_file);
  EXPECT_TRUE(client->Get(lists, absl::Seconds(10)).ok());
}

TEST(KubeClientTest, ErrorsKeepTheServersWords) {
  FakeKubeApi api;
  SystemClock clock;
  const auto client = *NewKubeClient(api.Config(), &clock);
  const auto forbidden =
      client->Get("/api/v1/namespaces/kube-system/configmaps", absl::Seconds(10)).status();
  EXPECT_EQ(forbidden.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(forbidden.message()), HasSubstr("configmaps is forbidden"));
  const struct {
    int status;
    absl::StatusCode code;
  } kCases[] = {{401, absl::StatusCode::kUnauthenticated}, {404, absl::StatusCode::kNotFound},
                {410, absl::StatusCode::kOutOfRange},      {422, absl::StatusCode::kInvalidArgument},
                {429, absl::StatusCode::kUnavailable},     {503, absl::StatusCode::kUnavailable}};
  for (const auto& c : kCases) EXPECT_EQ(KubeError(c.status, "<html>").code(), c.code) << c.status;
  EXPECT_TRUE(KubeError(201, "").ok());
  KubeConfig stranger = api.Config();
  const TestCa other("other");
  stranger.ca_pem = other.pem();
  EXPECT_EQ((*NewKubeClient(stranger, &clock))->Get("/", absl::Seconds(10)).status().code(),
            absl::StatusCode::kUnavailable);
  stranger.ca_pem = "junk";
  EXPECT_EQ(NewKubeClient(stranger, &clock).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace wheelpit::adapter
