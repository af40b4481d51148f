// The real server's gRPC door: what tools find there, how it leaves under load, what it says when the disk is low.
#include <signal.h>

#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tests/integration/wire/health.grpc.pb.h"
#include "tests/integration/wire/reflection.grpc.pb.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"
#include "wheelpit/v1/admin.grpc.pb.h"
#include "wheelpit/v1/queue.grpc.pb.h"
#include "wheelpit/v1/report.grpc.pb.h"

namespace wheelpit {
namespace {

using testing::AnyOf;
using testing::IsSupersetOf;

class ServerGrpcTest : public testing::Test {
 protected:
  std::unique_ptr<ServerProcess> MakeServer(std::vector<std::string> flags = {}) const {
    flags.insert(flags.begin(), {"--journal_disk_low_bytes=0", "--journal_disk_low_percent=0", "--journal_segment_bytes=4MiB"});
    ServerProcessOptions options;
    options.binary = SERVER_BINARY;
    options.data_dir = folder_.path() + "/state";
    options.flags = std::move(flags);
    return std::make_unique<ServerProcess>(std::move(options));
  }
  static std::shared_ptr<grpc::Channel> Connect(const ServerProcess& server) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(server.grpc(), grpc::InsecureChannelCredentials(), arguments);
  }

  const TempFolder folder_;
};

// The reason and whether a retry is asked for, as google.rpc details say.
struct Details {
  std::string reason, domain;
  bool retry = false;
};

Details DetailsOf(const grpc::Status& status) {
  Details details;
  google::rpc::Status all;
  EXPECT_TRUE(all.ParseFromString(status.error_details()));
  for (const google::protobuf::Any& any : all.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&info)) {
      details.reason = info.reason();
      details.domain = info.domain();
    } else if (any.UnpackTo(&retry)) {
      details.retry = retry.retry_delay().seconds() > 0 || retry.retry_delay().nanos() > 0;
    }
  }
  return details;
}

v1::SubmitRequest Task(const std::string& key) {
  v1::SubmitRequest request;
  request.mutable_task()->set_queue("q");
  request.mutable_task()->set_payload("payload of " + key);
  request.mutable_task()->set_idempotency_key(key);
  return request;
}

TEST_F(ServerGrpcTest, HealthIsServingForTheServerAndEachService) {
  auto server = MakeServer();
  ASSERT_TRUE(server->Start().ok()) << server->output();
  const auto stub = grpc::health::v1::Health::NewStub(Connect(*server));
  for (const char* service :
       {"", "wheelpit.v1.QueueService", "wheelpit.v1.ReportService", "wheelpit.v1.QueryService", "wheelpit.v1.AdminService"}) {
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    grpc::health::v1::HealthCheckResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub->Check(&context, request, &response);
    EXPECT_TRUE(status.ok()) << service << ": " << status.error_message();
    EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING) << service;
  }
  grpc::health::v1::HealthCheckRequest unknown;
  unknown.set_service("no.such.Service");
  grpc::health::v1::HealthCheckResponse response;
  grpc::ClientContext context;
  EXPECT_EQ(stub->Check(&context, unknown, &response).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServerGrpcTest, ReflectionListsTheServicesAndGivesTheirFiles) {
  auto server = MakeServer();
  ASSERT_TRUE(server->Start().ok()) << server->output();
  const auto stub = grpc::reflection::v1alpha::ServerReflection::NewStub(Connect(*server));
  grpc::ClientContext context;
  const auto stream = stub->ServerReflectionInfo(&context);
  grpc::reflection::v1alpha::ServerReflectionRequest request;
  grpc::reflection::v1alpha::ServerReflectionResponse response;
  request.set_list_services("*");
  ASSERT_TRUE(stream->Write(request) && stream->Read(&response));
  std::vector<std::string> services;
  for (const auto& service : response.list_services_response().service()) services.push_back(service.name());
  EXPECT_THAT(services, IsSupersetOf({"wheelpit.v1.QueueService", "wheelpit.v1.ReportService", "wheelpit.v1.QueryService",
                                      "wheelpit.v1.AdminService", "grpc.health.v1.Health"}));
  request.set_file_containing_symbol("wheelpit.v1.QueueService");
  ASSERT_TRUE(stream->Write(request) && stream->Read(&response));
  std::vector<std::string> methods;
  for (const std::string& bytes : response.file_descriptor_response().file_descriptor_proto()) {
    google::protobuf::FileDescriptorProto file;
    ASSERT_TRUE(file.ParseFromString(bytes));
    for (const auto& service : file.service()) {
      for (const auto& method : service.method()) methods.push_back(method.name());
    }
  }
  EXPECT_THAT(methods, IsSupersetOf({"Submit", "Work", "CompleteTasks", "WaitTask"}));
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

// Every submit has an outcome that holds: acknowledged and there, or refused; and a repeat of a refused one works after the restart.
TEST_F(ServerGrpcTest, SigtermUnderLoadAnswersEverythingItHasTaken) {
  auto server = MakeServer();
  ASSERT_TRUE(server->Start().ok()) << server->output();
  constexpr int kLanes = 8;
  std::atomic<uint64_t> acknowledged{0};  // relaxed: a count to wait on
  std::vector<std::map<std::string, std::string>> ids(kLanes);  // key -> id
  std::vector<grpc::Status> ends(kLanes);
  std::vector<std::thread> lanes;
  for (int lane = 0; lane < kLanes; ++lane) {
    lanes.emplace_back([&, lane] {
      const auto stub = v1::QueueService::NewStub(Connect(*server));
      for (int i = 0; ends[lane].ok(); ++i) {
        const v1::SubmitRequest request = Task(absl::StrCat(lane, "-", i));
        v1::SubmitResponse response;
        grpc::ClientContext context;
        ends[lane] = stub->Submit(&context, request, &response);
        if (ends[lane].ok()) ids[lane].emplace(request.task().idempotency_key(), response.id());
        acknowledged.fetch_add(1, std::memory_order_relaxed);
        acknowledged.notify_one();
      }
    });
  }
  for (uint64_t seen = 0; seen < 2000; seen = acknowledged.load(std::memory_order_relaxed)) acknowledged.wait(seen, std::memory_order_relaxed);
  const int code = server->Terminate();
  for (std::thread& lane : lanes) lane.join();
  EXPECT_EQ(code, 0) << server->output();
  // DRAINING, or no connection; gRPC itself cancels a call that meets its shutdown before anybody has taken it.
  for (const grpc::Status& end : ends) {
    EXPECT_THAT(end.error_code(), AnyOf(grpc::StatusCode::UNAVAILABLE, grpc::StatusCode::CANCELLED)) << end.error_message();
  }

  ASSERT_TRUE(server->Start().ok()) << server->output();
  const auto stub = v1::QueueService::NewStub(Connect(*server));
  uint64_t tasks = 0;
  for (const auto& lane : ids) {
    for (const auto& [key, id] : lane) {
      v1::SubmitResponse again;
      grpc::ClientContext context;
      const grpc::Status status = stub->Submit(&context, Task(key), &again);
      ASSERT_TRUE(status.ok()) << status.error_message();
      EXPECT_EQ(again.id(), id);
      EXPECT_TRUE(again.deduplicated());
      ++tasks;
    }
  }
  v1::GetQueueRequest request;
  request.set_name("q");
  v1::QueueInfo info;
  grpc::ClientContext context;
  const grpc::Status status = v1::AdminService::NewStub(Connect(*server))->GetQueue(&context, request, &info);
  ASSERT_TRUE(status.ok()) << status.error_message();
  // A drain waits for its answers, so what exists was also told.
  EXPECT_EQ(info.totals().submitted(), tasks);
  EXPECT_EQ(info.counts().ready(), tasks);
}

// Whatever a client sends: an answer that says what was wrong, a server that goes on, and one that starts again.
TEST_F(ServerGrpcTest, NoMessageTakesTheServerDown) {
  auto server = MakeServer();
  ASSERT_TRUE(server->Start().ok()) << server->output();
  const auto queue = v1::QueueService::NewStub(Connect(*server));
  const auto reports = v1::ReportService::NewStub(Connect(*server));
  const auto submit = [&](const std::function<void(v1::TaskSpec*)>& change) {
    v1::SubmitRequest request = Task("");
    change(request.mutable_task());
    v1::SubmitResponse response;
    grpc::ClientContext context;
    return queue->Submit(&context, request, &response);
  };
  // Bytes that are no text do not even parse.
  EXPECT_FALSE(submit([](v1::TaskSpec* t) { t->set_idempotency_key("\xff"); }).ok());
  EXPECT_FALSE(submit([](v1::TaskSpec* t) { t->set_content_type("\xed\xa0\x80"); }).ok());
  EXPECT_FALSE(submit([](v1::TaskSpec* t) { (*t->mutable_attributes())["\xff"] = "v"; }).ok());
  EXPECT_TRUE(submit([](v1::TaskSpec* t) { (*t->mutable_attributes())["k"] = std::string("a\0b", 3); }).ok());
  EXPECT_TRUE(submit([](v1::TaskSpec* t) { t->set_payload(std::string("\xff\0\xfe", 3)); }).ok());
  const int64_t most = std::numeric_limits<int64_t>::max(), least = std::numeric_limits<int64_t>::min();
  for (const int64_t value : {most, least}) {
    EXPECT_EQ(submit([=](v1::TaskSpec* t) { t->set_delay_ms(value); }).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(submit([=](v1::TaskSpec* t) { t->set_not_before_at_ms(value); }).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(submit([=](v1::TaskSpec* t) { t->set_expire_at_ms(value); }).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(submit([=](v1::TaskSpec* t) { t->set_lease_ttl_ms(value); }).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(submit([=](v1::TaskSpec* t) { t->set_attempt_timeout_ms(value); }).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(submit([=](v1::TaskSpec* t) { t->mutable_backoff()->set_initial_ms(value); }).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  }
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  for (const double value : {nan, inf, -inf, -1.0, 1e300}) {
    EXPECT_EQ(submit([=](v1::TaskSpec* t) { t->mutable_backoff()->set_multiplier(value); }).error_code(), grpc::StatusCode::INVALID_ARGUMENT) << value;
  }
  EXPECT_EQ(submit([](v1::TaskSpec* t) { for (int i = 0; i < 10'000; ++i) (*t->mutable_attributes())[absl::StrCat(i)] = "v"; }).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(submit([](v1::TaskSpec* t) { t->set_trace_context(std::string(1 << 20, 't')); }).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(submit([](v1::TaskSpec* t) { t->set_payload(std::string(20 << 20, 'p')); }).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);

  v1::UnaryReportRequest report;
  report.mutable_hello()->set_reporter_id("hostile");
  report.mutable_hello()->set_incarnation(1);
  v1::Batch* batch = report.mutable_batch();
  batch->set_seq(1);
  batch->set_interval_ms(most);
  batch->set_age_ms(most);
  const auto series = [&](const std::string& family) {
    v1::SeriesDef* def = batch->add_series();
    def->set_ref(static_cast<uint32_t>(batch->series_size()));
    def->set_family(family);
    return def;
  };
  v1::SeriesDef* many = series("many_total");
  for (int i = 0; i < 10'000; ++i) many->add_labels()->set_name(absl::StrCat("l", i));
  v1::SeriesDef* large = series("large_total");
  large->add_labels()->set_name("l");
  large->mutable_labels(0)->set_value(std::string(500'000, 'v'));
  v1::SeriesDef* nul = series("nul_total");
  nul->add_labels()->set_name("l");
  nul->mutable_labels(0)->set_value(std::string("a\0b", 3));
  series(std::string(100'000, 'n'));
  for (uint32_t ref = 1; ref <= 4; ++ref) {
    batch->add_counter_refs(ref);
    batch->add_counter_values(std::numeric_limits<uint64_t>::max());
  }
  for (const double value : {nan, inf, -1.0}) {
    batch->add_fraction_refs(3);
    batch->add_fraction_values(value);
  }
  batch->add_counter_refs(4'000'000'000);
  batch->add_counter_values(1);
  v1::UnaryReportResponse answer;
  {
    grpc::ClientContext context;
    const grpc::Status status = reports->Report(&context, report, &answer);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  std::vector<std::string> reasons;
  for (const v1::Reject& reject : answer.ack().rejects()) reasons.push_back(reject.reason());
  EXPECT_THAT(reasons, testing::UnorderedElementsAre("TOO_MANY_LABELS", "BAD_LABEL_VALUE", "BAD_METRIC_NAME", "UNKNOWN_REF", "BAD_VALUE",
                                                     "BAD_VALUE", "BAD_VALUE"));
  {
    grpc::ClientContext context;
    batch->set_seq(2);
    batch->mutable_series(1)->mutable_labels(0)->set_value(std::string(2 << 20, 'v'));
    const grpc::Status status = reports->Report(&context, report, &answer);
    EXPECT_EQ(DetailsOf(status).reason, "BATCH_TOO_LARGE") << status.error_message();
  }
  {
    grpc::ClientContext context;
    report.mutable_hello()->set_reporter_id("\xff");
    EXPECT_FALSE(reports->Report(&context, report, &answer).ok());
  }
  // A stream that is sent nonsense ends, with an error.
  {
    grpc::ClientContext context;
    auto stream = queue->Work(&context);
    v1::WorkRequest request;
    request.mutable_hello()->set_worker_id("\xff");
    request.mutable_hello()->add_queues()->set_name("q");
    stream->Write(request);
    v1::WorkResponse response;
    while (stream->Read(&response)) {
    }
    const grpc::Status status = stream->Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(DetailsOf(status).reason, "BAD_FIELD") << status.error_message();
  }
  server->Kill();
  ASSERT_TRUE(server->Start().ok()) << server->output();
  v1::GetQueueRequest get;
  get.set_name("q");
  v1::QueueInfo info;
  grpc::ClientContext context;
  ASSERT_TRUE(v1::AdminService::NewStub(Connect(*server))->GetQueue(&context, get, &info).ok());
  EXPECT_EQ(info.counts().ready(), 2u);
}

TEST_F(ServerGrpcTest, ALowDiskRefusesSubmitsWithAReasonAndTheRestGoesOn) {
  auto server = MakeServer();
  ASSERT_TRUE(server->Start().ok()) << server->output();
  v1::SubmitResponse submitted;
  {
    grpc::ClientContext context;
    ASSERT_TRUE(v1::QueueService::NewStub(Connect(*server))->Submit(&context, Task("old"), &submitted).ok());
  }
  EXPECT_EQ(server->Terminate(), 0);
  server = MakeServer({"--journal_disk_low_bytes=8000TiB"});
  ASSERT_TRUE(server->Start().ok()) << server->output();
  const auto queue = v1::QueueService::NewStub(Connect(*server));
  {
    grpc::ClientContext context;
    v1::SubmitResponse response;
    const grpc::Status status = queue->Submit(&context, Task("new"), &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
    const Details details = DetailsOf(status);
    EXPECT_EQ(details.reason, "DISK_LOW");
    EXPECT_EQ(details.domain, "wheelpit");
    EXPECT_TRUE(details.retry);
  }
  {
    grpc::ClientContext context;
    v1::UnaryReportRequest report;
    report.mutable_hello()->set_reporter_id("r");
    report.mutable_hello()->set_incarnation(1);
    report.mutable_batch()->set_seq(1);
    v1::UnaryReportResponse response;
    const grpc::Status status = v1::ReportService::NewStub(Connect(*server))->Report(&context, report, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.ack().through_seq(), 1u);
  }
  v1::LeaseTasksRequest lease;
  lease.set_worker_id("w");
  lease.add_queues()->set_name("q");
  lease.set_tasks_max(10);
  v1::LeaseTasksResponse leased;
  {
    grpc::ClientContext context;
    const grpc::Status status = queue->LeaseTasks(&context, lease, &leased);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  ASSERT_EQ(leased.assignments_size(), 1);
  EXPECT_EQ(leased.assignments(0).task().id(), submitted.id());
  v1::CompleteTasksRequest complete;
  complete.add_completions()->set_task_id(submitted.id());
  complete.mutable_completions(0)->set_token(leased.assignments(0).token());
  v1::CompleteTasksResponse completed;
  grpc::ClientContext context;
  const grpc::Status status = queue->CompleteTasks(&context, complete, &completed);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(completed.results_size(), 1);
  EXPECT_EQ(completed.results(0).status().code(), 0) << completed.results(0).status().message();
  EXPECT_EQ(completed.results(0).state(), v1::TASK_STATE_SUCCEEDED);
}

}  // namespace
}  // namespace wheelpit
