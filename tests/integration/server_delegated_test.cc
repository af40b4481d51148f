// wheelpit-server with the cluster's door: the metrics APIs ask an API server who may, the queue
// does not need it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/support/fake_kube_api.h"
#include "tests/support/raw_http.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"

namespace wheelpit {
namespace {

using ::testing::HasSubstr;

constexpr char kTasks[] =
    "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/wheelpit_queue_tasks";

class ServerDelegatedTest : public ::testing::Test {
 protected:
  ServerDelegatedTest() {
    std::ofstream(folder_.path() + "/kubeconfig") << api_.Kubeconfig();
    server_ = std::make_unique<ServerProcess>(ServerProcessOptions{
        SERVER_BINARY,
        folder_.path() + "/data",
        {"--apis_auth=kubernetes", "--kubeconfig=" + folder_.path() + "/kubeconfig"}});
  }
  RawAnswer Get(absl::string_view target, absl::string_view token) {
    int port = 0;
    const std::string address = server_->apis();
    EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port)) << address;
    SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
    RawHttp client(port, context);
    SSL_CTX_free(context);
    client.Send(absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ", token,
                             "\r\n\r\n"));
    return client.Read();
  }

  TempFolder folder_;
  adapter::FakeKubeApi api_;
  std::unique_ptr<ServerProcess> server_;
};

TEST_F(ServerDelegatedTest, TheClusterSaysWhoMayAsk) {
  api_.SetUser("t1", {{"username", "hpa"}});
  api_.SetUser("t2", {{"username", "anna"}});
  api_.Allow("hpa", "wheelpit_queue_tasks");
  const absl::Status started = server_->Start();
  ASSERT_TRUE(started.ok()) << started;
  // Let in, and told that no queue is there yet.
  EXPECT_EQ(Get(kTasks, "t1").status, 404);
  const RawAnswer refused = Get(kTasks, "t2");
  EXPECT_EQ(refused.status, 403);
  EXPECT_THAT(refused.body, HasSubstr("User \\\"anna\\\" cannot list resource \\\"wheelpit_queue_tasks\\\""));
  EXPECT_EQ(Get(kTasks, "t3").status, 401);
  EXPECT_EQ(server_->Terminate(), 0);
}

TEST_F(ServerDelegatedTest, StartsWithoutItsApiServer) {
  api_.Stop();
  const absl::Status started = server_->Start();
  ASSERT_TRUE(started.ok()) << started;
  EXPECT_EQ(Get("/livez", "t1").status, 200);
  EXPECT_EQ(server_->Terminate(), 0);
}

}  // namespace
}  // namespace wheelpit
