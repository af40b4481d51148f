// The real wheelpit-server: doors, probes, kill -9, drain, refusals to start.
#include "tests/support/server_process.h"

#include <filesystem>

#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tests/support/temp_folder.h"
#include "wheelpit/v1/query.grpc.pb.h"
#include "wheelpit/v1/queue.grpc.pb.h"
#include "wheelpit/v1/report.grpc.pb.h"

namespace wheelpit {
namespace {

class ServerProcessTest : public testing::Test {
 protected:
  std::string data_dir() const { return folder_.path() + "/data"; }
  ServerProcessOptions Options(std::vector<std::string> flags = {}) const {
    flags.push_back("--journal_disk_low_bytes=0");
    flags.push_back("--journal_disk_low_percent=0");
    flags.push_back("--journal_segment_bytes=4MiB");
    return {SERVER_BINARY, data_dir(), flags};
  }
  static std::shared_ptr<grpc::Channel> Connect(const ServerProcess& server) {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(server.grpc(), grpc::InsecureChannelCredentials(), args);
  }
  static v1::SubmitResponse Submit(const ServerProcess& server, const std::string& key, grpc::Status* status) {
    grpc::ClientContext context;
    v1::SubmitRequest request;
    request.mutable_task()->set_queue("q");
    request.mutable_task()->set_idempotency_key(key);
    request.mutable_task()->add_counts()->set_name("submits_total");
    v1::SubmitResponse response;
    *status = v1::QueueService::NewStub(Connect(server))->Submit(&context, request, &response);
    return response;
  }
  static double Value(const ServerProcess& server, const std::string& query) {
    grpc::ClientContext context;
    v1::QueryRequest request;
    request.set_query(query);
    v1::QueryResponse response;
    const grpc::Status status = v1::QueryService::NewStub(Connect(server))->Query(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.vector().elements_size() == 1 ? response.vector().elements(0).value() : -1;
  }

  TempFolder folder_;
};

TEST_F(ServerProcessTest, WhatWasAcknowledgedSurvivesKill9) {
  ServerProcess server(Options());
  std::vector<std::string> ids;
  for (int round = 0; round < 3; ++round) {
    const absl::Status started = server.Start();
    ASSERT_TRUE(started.ok()) << started;
    for (size_t i = 0; i < ids.size(); ++i) {
      grpc::Status status;
      const v1::SubmitResponse again = Submit(server, "k" + std::to_string(i), &status);
      ASSERT_TRUE(status.ok()) << status.error_message();
      EXPECT_TRUE(again.deduplicated());
      EXPECT_EQ(again.id(), ids[i]);
    }
    if (round > 0) {
      EXPECT_EQ(Value(server, "submits_total"), static_cast<double>(ids.size()));
      EXPECT_EQ(Value(server, "reported_total"), 5.0 * round);
    }
    for (int i = 0; i < 20; ++i) {
      grpc::Status status;
      ids.push_back(Submit(server, "k" + std::to_string(ids.size()), &status).id());
      ASSERT_TRUE(status.ok()) << status.error_message();
    }
    grpc::ClientContext context;
    v1::UnaryReportRequest report;
    report.mutable_hello()->set_reporter_id("r");
    report.mutable_hello()->set_incarnation(static_cast<uint64_t>(round + 1));
    v1::Batch* batch = report.mutable_batch();
    batch->set_seq(1);
    auto* series = batch->add_series();
    series->set_ref(1);
    series->set_family("reported_total");
    batch->add_counter_refs(1);
    batch->add_counter_values(5);
    v1::UnaryReportResponse response;
    const grpc::Status reported = v1::ReportService::NewStub(Connect(server))->Report(&context, report, &response);
    ASSERT_TRUE(reported.ok()) << reported.error_message();
    server.Kill();
  }
}

TEST_F(ServerProcessTest, SigtermDrainsWritesACheckpointAndLosesNothing) {
  ServerProcess server(Options());
  absl::Status started = server.Start();
  ASSERT_TRUE(started.ok()) << started;
  grpc::Status status;
  const std::string id = Submit(server, "k", &status).id();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(server.Terminate(), 0) << server.output();
  bool checkpoint = false;
  for (const auto& entry : std::filesystem::directory_iterator(data_dir() + "/journal")) {
    const std::string name = entry.path().filename();
    checkpoint |= name.rfind("ckpt-", 0) == 0 && name.find(".tmp") == std::string::npos;
  }
  EXPECT_TRUE(checkpoint);
  started = server.Start();
  ASSERT_TRUE(started.ok()) << started;
  EXPECT_EQ(Submit(server, "k", &status).id(), id);
}

TEST_F(ServerProcessTest, TheDataFolderHoldsWhatItShouldWithTheRightModes) {
  ServerProcess server(Options());
  const absl::Status started = server.Start();
  ASSERT_TRUE(started.ok()) << started;
  namespace fs = std::filesystem;
  EXPECT_TRUE(fs::is_directory(data_dir() + "/journal"));
  EXPECT_TRUE(fs::exists(data_dir() + "/adapter.crt"));
  EXPECT_TRUE(fs::exists(data_dir() + "/ports.json"));
  for (const char* secret : {"/adapter.key", "/adapter.token"}) {
    EXPECT_EQ(fs::status(data_dir() + secret).permissions(), fs::perms::owner_read | fs::perms::owner_write) << secret;
  }
}

TEST_F(ServerProcessTest, ASecondServerOnTheFolderIsRefused) {
  ServerProcess first(Options()), second(Options());
  const absl::Status started = first.Start();
  ASSERT_TRUE(started.ok()) << started;
  EXPECT_EQ(second.RunToEnd(), 1);
  EXPECT_THAT(second.output(), testing::HasSubstr(std::to_string(first.pid())));
}

TEST_F(ServerProcessTest, ABusyPortIsAClearError) {
  ServerProcess first(Options());
  const absl::Status started = first.Start();
  ASSERT_TRUE(started.ok()) << started;
  const auto port = [](const std::string& address) { return address.substr(address.rfind(':') + 1); };
  for (const auto& [flag, address] : {std::pair("--grpc_port=", first.grpc()), {"--http_port=", first.http()}, {"--apis_port=", first.apis()}}) {
    ServerProcessOptions options = Options({flag + port(address)});
    options.data_dir += std::string(".") + flag;
    ServerProcess second(options);
    EXPECT_EQ(second.RunToEnd(), 1) << flag;
    EXPECT_THAT(second.output(), testing::HasSubstr(port(address))) << flag;
  }
}

TEST_F(ServerProcessTest, WrongOptionsAndOpenDoorsStopTheStart) {
  ServerProcess unknown(Options({"--grcp_port=1"}));
  EXPECT_EQ(unknown.RunToEnd(), 2);
  EXPECT_THAT(unknown.output(), testing::HasSubstr("grpc_port"));
  ServerProcess open(Options({"--http_host=0.0.0.0"}));
  EXPECT_EQ(open.RunToEnd(), 2);
  EXPECT_THAT(open.output(), testing::HasSubstr("--allow_insecure"));
  ServerProcess version(Options({"--version"}));
  EXPECT_EQ(version.RunToEnd(), 0);
  EXPECT_THAT(version.output(), testing::HasSubstr("wheelpit-server"));
  ServerProcess print(Options({"--print_config"}));
  EXPECT_EQ(print.RunToEnd(), 0);
  EXPECT_THAT(print.output(), testing::HasSubstr("http_port = 0  # flag"));
}

}  // namespace
}  // namespace wheelpit
