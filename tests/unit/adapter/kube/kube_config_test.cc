#include "adapter/kube/kube_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/support/temp_folder.h"

namespace wheelpit::adapter {
namespace {

using ::testing::HasSubstr;

class KubeConfigTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = folder_.path() + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  TempFolder folder_;
};

TEST_F(KubeConfigTest, InAPodItIsTheServiceAccount) {
  Write("token", "t");
  Write("ca.crt", "CA");
  const auto environment = [](const char* name) -> std::string {
    return std::string(name) == "KUBERNETES_SERVICE_HOST" ? "fd00::1" : "443";
  };
  const auto config = InClusterConfig(environment, folder_.path());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->server, "https://[fd00::1]:443");
  EXPECT_EQ(config->ca_pem, "CA");
  EXPECT_EQ(config->token_file, folder_.path() + "/token");
  const auto outside = InClusterConfig([](const char*) { return std::string(); }, folder_.path());
  EXPECT_EQ(outside.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(outside.status().message()), HasSubstr("kubeconfig"));
}

TEST_F(KubeConfigTest, ReadsTheCurrentContext) {
  Write("ca.pem", "CA TEXT");
  const std::string path = Write("config", R"(
apiVersion: v1
kind: Config
current-context: two
contexts:
- {name: one, context: {cluster: a, user: x}}
- {name: two, context: {cluster: b, user: y}}
clusters:
- {name: a, cluster: {server: "https://a:1"}}
- name: b
  cluster: {server: "https://b:2", certificate-authority: ca.pem, tls-server-name: kubernetes}
users:
- {name: x, user: {token: no}}
- name: y
  user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ, tokenFile: tok}
)");
  const auto config = ReadKubeconfig(path);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->server, "https://b:2");
  EXPECT_EQ(config->ca_pem, "CA TEXT");
  EXPECT_EQ(config->server_name, "kubernetes");
  EXPECT_EQ(config->certificate_pem, "CERT");
  EXPECT_EQ(config->key_pem, "KEY");
  EXPECT_EQ(config->token, "");
  EXPECT_EQ(config->token_file, folder_.path() + "/tok");
  EXPECT_FALSE(config->insecure);
}

TEST_F(KubeConfigTest, SaysWhatIsMissing) {
  const struct {
    const char* text;
    const char* message;
  } kCases[] = {
      {"[1", "line "},
      {"{}", "no context named"},
      {"{current-context: c, contexts: [{name: c, context: {cluster: k}}]}", "no cluster named \"k\""},
      {"{current-context: c, contexts: [{name: c, context: {cluster: k}}], clusters: [{name: k, "
       "cluster: {}}]}",
       "no server"},
      {"{current-context: c, contexts: [{name: c, context: {cluster: k, user: u}}], clusters: "
       "[{name: k, cluster: {server: 'https://a'}}], users: [{name: u, user: {exec: {}}}]}",
       "exec"},
      {"{current-context: c, contexts: [{name: c, context: {cluster: k}}], clusters: [{name: k, "
       "cluster: {server: 'https://a', certificate-authority-data: '!'}}]}",
       "base64"},
  };
  for (const auto& c : kCases) {
    const auto config = ReadKubeconfig(Write("config", c.text));
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << c.text;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace wheelpit::adapter
