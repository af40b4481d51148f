// The services over a real channel, with the real engine on the memory journal and on the segmented log.
#include <cmath>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "base/errors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/rpc/status_map.h"
#include "tests/support/live_engine.h"
#include "tests/support/temp_folder.h"
#include "wheelpit/v1/admin.grpc.pb.h"
#include "wheelpit/v1/query.grpc.pb.h"
#include "wheelpit/v1/queue.grpc.pb.h"
#include "wheelpit/v1/report.grpc.pb.h"

namespace wheelpit {
namespace {

std::string ReasonOf(const grpc::Status& status) { return ErrorReason(FromGrpcStatus(status)); }

TEST(StatusMapTest, CodeMessageReasonAndRetryTimeSurviveTheWire) {
  const absl::Status status =
      MakeError(absl::StatusCode::kResourceExhausted, "QUEUE_FULL", "queue \"q\" is full", absl::Milliseconds(1250));
  const absl::Status back = FromGrpcStatus(ToGrpcStatus(status));
  EXPECT_EQ(back.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(back.message(), status.message());
  EXPECT_EQ(ErrorReason(back), "QUEUE_FULL");
  EXPECT_EQ(ErrorRetryAfter(back), absl::Milliseconds(1250));
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_EQ(ErrorReason(FromGrpcStatus(ToGrpcStatus(absl::InternalError("x")))), "");
}

// One kind of journal each: false = memory, true = on disk.
class RpcTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    live_ = std::make_unique<LiveEngine>(GetParam() ? folder_.path() : "");
    ASSERT_TRUE(live_->Start().ok());
    channel_ = live_->NewChannel();
    queue_ = v1::QueueService::NewStub(channel_);
    report_ = v1::ReportService::NewStub(channel_);
    query_ = v1::QueryService::NewStub(channel_);
    admin_ = v1::AdminService::NewStub(channel_);
  }

  grpc::Status Submit(const std::string& payload, v1::SubmitResponse* response, const std::string& queue = "q", const std::string& key = "") {
    grpc::ClientContext context;
    v1::SubmitRequest request;
    request.mutable_task()->set_queue(queue);
    request.mutable_task()->set_payload(payload);
    request.mutable_task()->set_idempotency_key(key);
    return queue_->Submit(&context, request, response);
  }
  std::string MustSubmit(const std::string& payload) {
    v1::SubmitResponse response;
    const grpc::Status status = Submit(payload, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.id();
  }
  std::vector<v1::Assignment> Lease(uint32_t tasks_max, int64_t wait_ms = 5000) {
    grpc::ClientContext context;
    v1::LeaseTasksRequest request;
    request.set_worker_id("w");
    request.add_queues()->set_name("q");
    request.set_tasks_max(tasks_max);
    request.set_wait_ms(wait_ms);
    v1::LeaseTasksResponse response;
    const grpc::Status status = queue_->LeaseTasks(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return {response.assignments().begin(), response.assignments().end()};
  }
  v1::LeaseResult Complete(const std::string& id, uint64_t token, const std::string& result = "") {
    grpc::ClientContext context;
    v1::CompleteTasksRequest request;
    auto* item = request.add_completions();
    item->set_task_id(id);
    item->set_token(token);
    item->set_result(result);
    v1::CompleteTasksResponse response;
    EXPECT_TRUE(queue_->CompleteTasks(&context, request, &response).ok());
    return response.results_size() == 1 ? response.results(0) : v1::LeaseResult();
  }

  TempFolder folder_;
  std::unique_ptr<LiveEngine> live_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::QueueService::Stub> queue_;
  std::unique_ptr<v1::ReportService::Stub> report_;
  std::unique_ptr<v1::QueryService::Stub> query_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
};

TEST_P(RpcTest, ATaskGoesFromSubmitOverLeaseToItsResult) {
  const std::string id = MustSubmit("hello");
  const auto leases = Lease(10);
  ASSERT_EQ(leases.size(), 1u);
  EXPECT_EQ(leases[0].task().id(), id);
  EXPECT_EQ(leases[0].task().payload(), "hello");
  EXPECT_EQ(leases[0].attempt(), 1u);
  EXPECT_EQ(Complete(id, leases[0].token(), "done").status().code(), 0);
  grpc::ClientContext context;
  v1::WaitTaskRequest wait;
  wait.set_id(id);
  wait.set_timeout_ms(10'000);
  wait.set_with_result(true);
  v1::Task task;
  ASSERT_TRUE(queue_->WaitTask(&context, wait, &task).ok());
  EXPECT_EQ(task.state(), v1::TASK_STATE_SUCCEEDED);
  EXPECT_EQ(task.result(), "done");
}

TEST_P(RpcTest, AStaleTokenIsRefusedPerItem) {
  const std::string id = MustSubmit("x");
  const auto leases = Lease(1);
  ASSERT_EQ(leases.size(), 1u);
  EXPECT_EQ(Complete(id, leases[0].token() + 1).status().reason(), "LEASE_LOST");
  EXPECT_EQ(Complete("nonsense", 5).status().reason(), "BAD_FIELD");
  EXPECT_EQ(Complete(id, 0).status().reason(), "BAD_FIELD");
  EXPECT_EQ(Complete(id, leases[0].token()).status().code(), 0);
}

TEST_P(RpcTest, ErrorsCarryTheirCodesAndReasons) {
  v1::SubmitResponse response;
  grpc::Status status = Submit("x", &response, "-bad name-");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonOf(status), "BAD_FIELD");
  status = Submit(std::string((1 << 20) + 1, 'x'), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonOf(status), "PAYLOAD_TOO_LARGE");
  ASSERT_TRUE(Submit("one", &response, "q", "key").ok());
  EXPECT_FALSE(response.deduplicated());
  const std::string id = response.id();
  ASSERT_TRUE(Submit("one", &response, "q", "key").ok());
  EXPECT_TRUE(response.deduplicated());
  EXPECT_EQ(response.id(), id);
  status = Submit("two", &response, "q", "key");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(ReasonOf(status), "IDEMPOTENCY_CONFLICT");
  {
    grpc::ClientContext context;
    v1::SubmitBatchResponse batch;
    status = queue_->SubmitBatch(&context, v1::SubmitBatchRequest(), &batch);
    EXPECT_EQ(ReasonOf(status), "EMPTY");
  }
  {
    grpc::ClientContext context;
    v1::GetTaskRequest request;
    request.set_id("0-999");
    v1::Task task;
    status = queue_->GetTask(&context, request, &task);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(ReasonOf(status), "TASK");
  }
  {
    grpc::ClientContext context;
    v1::GetQueueRequest request;
    request.set_name("nobody");
    v1::QueueInfo info;
    status = admin_->GetQueue(&context, request, &info);
    EXPECT_EQ(ReasonOf(status), "QUEUE");
  }
  {
    grpc::ClientContext context;
    v1::QueryRequest request;
    request.set_query("sum(");
    v1::QueryResponse answer;
    status = query_->Query(&context, request, &answer);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(ReasonOf(status), "BAD_QUERY");
  }
}

TEST_P(RpcTest, ABatchHasAResultPerTaskInOrder) {
  grpc::ClientContext context;
  v1::SubmitBatchRequest request;
  request.add_tasks()->set_queue("q");
  request.add_tasks()->set_queue("!");
  request.add_tasks()->set_queue("q");
  v1::SubmitBatchResponse response;
  ASSERT_TRUE(queue_->SubmitBatch(&context, request, &response).ok());
  ASSERT_EQ(response.results_size(), 3);
  EXPECT_FALSE(response.results(0).id().empty());
  EXPECT_EQ(response.results(1).status().reason(), "BAD_FIELD");
  EXPECT_FALSE(response.results(2).id().empty());
}

TEST_P(RpcTest, SubmitStreamAcksInOrderAndNamesExceptions) {
  grpc::ClientContext context;
  auto stream = queue_->SubmitStream(&context);
  constexpr uint64_t kTasks = 500;
  for (uint64_t seq = 1; seq <= kTasks; ++seq) {
    v1::SubmitStreamRequest request;
    request.set_client_seq(seq);
    request.mutable_task()->set_queue(seq == 7 ? "!" : "q");
    ASSERT_TRUE(stream->Write(request));
  }
  stream->WritesDone();
  uint64_t through = 0, ids = 0;
  std::vector<uint64_t> exceptions;
  v1::SubmitStreamResponse response;
  while (stream->Read(&response)) {
    EXPECT_GT(response.through_seq(), through);
    through = response.through_seq();
    ids += static_cast<uint64_t>(response.ids_size());
    for (const auto& exception : response.exceptions()) exceptions.push_back(exception.client_seq());
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(through, kTasks);
  EXPECT_EQ(ids, kTasks);
  EXPECT_THAT(exceptions, testing::ElementsAre(7u));
}

// A worker's stream with its session.
struct TestWorker {
  TestWorker(v1::QueueService::Stub* stub, const v1::WorkHello& hello) : stream(stub->Work(&context)) {
    v1::WorkRequest request;
    *request.mutable_hello() = hello;
    stream->Write(request);
    v1::WorkResponse response;
    if (stream->Read(&response)) welcome = response.welcome();
  }
  // Next message of one kind; others are dropped.
  bool Next(v1::WorkResponse::MessageCase kind, v1::WorkResponse* response) {
    while (stream->Read(response)) {
      if (response->message_case() == kind) return true;
    }
    return false;
  }
  void Complete(const v1::Assignment& assignment) {
    v1::WorkRequest request;
    auto* item = request.mutable_complete()->add_completions();
    item->set_task_id(assignment.task().id());
    item->set_token(assignment.token());
    stream->Write(request);
  }
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::WorkRequest, v1::WorkResponse>> stream;
  v1::WorkWelcome welcome;
};

v1::WorkHello NewHello(uint32_t slots) {
  v1::WorkHello hello;
  hello.set_worker_id("worker");
  hello.add_queues()->set_name("q");
  hello.mutable_credit()->set_slots(slots);
  return hello;
}

TEST_P(RpcTest, AWorkerGetsTasksWithinItsCreditAndItsCompletionsAreAcked) {
  for (int i = 0; i < 5; ++i) MustSubmit(std::to_string(i));
  TestWorker worker(queue_.get(), NewHello(2));
  ASSERT_FALSE(worker.welcome.session_id().empty());
  std::vector<v1::Assignment> held;
  int acked = 0, assigned = 0, sent = 0;
  v1::WorkResponse response;
  while (acked < 5 && worker.stream->Read(&response)) {
    for (const auto& assignment : response.assign().assignments()) {
      held.push_back(assignment);
      ++assigned;
    }
    EXPECT_LE(assigned - sent, 2);  // a completion frees its slot when the server has read it
    for (const auto& result : response.ack().results()) {
      EXPECT_EQ(result.status().code(), 0) << result.status().message();
      EXPECT_EQ(result.state(), v1::TASK_STATE_SUCCEEDED);
      ++acked;
    }
    for (const auto& assignment : held) worker.Complete(assignment);
    sent += static_cast<int>(held.size());
    held.clear();
  }
  EXPECT_EQ(acked, 5);
  EXPECT_EQ(assigned, 5);
}

TEST_P(RpcTest, AReconnectedWorkerKeepsItsLeasesAndLearnsWhichAreLost) {
  MustSubmit("a");
  v1::WorkResponse response;
  v1::Assignment assignment;
  std::string session;
  {
    TestWorker worker(queue_.get(), NewHello(1));
    session = worker.welcome.session_id();
    ASSERT_TRUE(worker.Next(v1::WorkResponse::kAssign, &response));
    assignment = response.assign().assignments(0);
    worker.context.TryCancel();
    worker.stream->Finish();
  }
  v1::WorkHello hello = NewHello(1);
  hello.set_session_id(session);
  auto* kept = hello.add_held();
  kept->set_task_id(assignment.task().id());
  kept->set_token(assignment.token());
  auto* lost = hello.add_held();
  lost->set_task_id(assignment.task().id());
  lost->set_token(assignment.token() + 99);
  TestWorker worker(queue_.get(), hello);
  EXPECT_EQ(worker.welcome.session_id(), session);
  ASSERT_EQ(worker.welcome.lost_size(), 1);
  EXPECT_EQ(worker.welcome.lost(0).token(), assignment.token() + 99);
  worker.Complete(assignment);
  ASSERT_TRUE(worker.Next(v1::WorkResponse::kAck, &response));
  EXPECT_EQ(response.ack().results(0).status().code(), 0) << response.ack().results(0).status().message();
}

TEST_P(RpcTest, TheSecondStreamOfASessionEndsTheFirst) {
  TestWorker first(queue_.get(), NewHello(1));
  v1::WorkHello hello = NewHello(1);
  hello.set_session_id(first.welcome.session_id());
  TestWorker second(queue_.get(), hello);
  v1::WorkResponse response;
  while (first.stream->Read(&response)) {
  }
  const grpc::Status status = first.stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(ReasonOf(status), "SESSION_SUPERSEDED");
}

TEST_P(RpcTest, ADrainingWorkersStreamEndsWithItsLastLease) {
  MustSubmit("a");
  MustSubmit("b");
  TestWorker worker(queue_.get(), NewHello(1));
  v1::WorkResponse response;
  ASSERT_TRUE(worker.Next(v1::WorkResponse::kAssign, &response));
  const v1::Assignment assignment = response.assign().assignments(0);
  v1::WorkRequest drain;
  drain.mutable_drain();
  worker.stream->Write(drain);
  worker.Complete(assignment);
  ASSERT_TRUE(worker.Next(v1::WorkResponse::kAck, &response));
  EXPECT_FALSE(worker.Next(v1::WorkResponse::kAssign, &response));
  EXPECT_TRUE(worker.stream->Finish().ok());
}

TEST_P(RpcTest, AWorkStreamBeginsWithHello) {
  grpc::ClientContext context;
  auto stream = queue_->Work(&context);
  v1::WorkRequest request;
  request.mutable_heartbeat();
  stream->Write(request);
  v1::WorkResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(ReasonOf(stream->Finish()), "BAD_FIELD");
}

TEST_P(RpcTest, ReportsAreCountedOnceAndRepeatsAreRecognised) {
  const auto batch = [](uint64_t seq, uint64_t delta, bool define) {
    v1::ReportRequest request;
    v1::Batch* b = request.mutable_batch();
    b->set_seq(seq);
    if (define) {
      auto* series = b->add_series();
      series->set_ref(1);
      series->set_family("jobs_total");
    }
    b->add_counter_refs(1);
    b->add_counter_values(delta);
    return request;
  };
  for (int connection = 0; connection < 2; ++connection) {
    grpc::ClientContext context;
    auto stream = report_->ReportStream(&context);
    v1::ReportRequest hello;
    hello.mutable_hello()->set_reporter_id("r");
    hello.mutable_hello()->set_incarnation(1);
    ASSERT_TRUE(stream->Write(hello));
    v1::ReportResponse response;
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.hello_ack().applied_seq(), connection == 0 ? 0u : 2u);
    EXPECT_EQ(response.hello_ack().durable(), GetParam());
    // The second connection sends batch 2 once more.
    for (uint64_t seq = connection == 0 ? 1 : 2; seq <= (connection == 0 ? 2u : 3u); ++seq) {
      ASSERT_TRUE(stream->Write(batch(seq, 10 * seq, seq == 1 || connection == 1)));
    }
    stream->WritesDone();
    uint64_t through = 0;
    while (stream->Read(&response)) through = std::max(through, response.ack().through_seq());
    const grpc::Status status = stream->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(through, connection == 0 ? 2u : 3u);
  }
  grpc::ClientContext context;
  v1::QueryRequest request;
  request.set_query("jobs_total");
  v1::QueryResponse answer;
  const grpc::Status status = query_->Query(&context, request, &answer);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(answer.vector().elements_size(), 1);
  EXPECT_EQ(answer.vector().elements(0).value(), 60);
}

TEST_P(RpcTest, AnOpenWindowHasWhatWasAcknowledged) {
  MustSubmit("payload");
  grpc::ClientContext context;
  v1::QueryRequest request;
  request.set_query("sum(increase(wheelpit_tasks_submitted_total{queue=\"q\"}[60s]))");
  request.set_open_window(true);
  v1::QueryResponse answer;
  const grpc::Status status = query_->Query(&context, request, &answer);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(answer.vector().elements_size(), 1);
  EXPECT_EQ(answer.vector().elements(0).value(), 1);
}

TEST_P(RpcTest, AGapOrAReportWithoutHelloEndsTheStream) {
  for (const bool with_hello : {false, true}) {
    grpc::ClientContext context;
    auto stream = report_->ReportStream(&context);
    v1::ReportRequest request;
    if (with_hello) {
      request.mutable_hello()->set_reporter_id("r");
      request.mutable_hello()->set_incarnation(1);
      stream->Write(request);
    }
    request.mutable_batch()->set_seq(5);
    stream->Write(request);
    v1::ReportResponse response;
    while (stream->Read(&response)) {
    }
    const grpc::Status status = stream->Finish();
    EXPECT_EQ(ReasonOf(status), with_hello ? "SEQ_GAP" : "NO_HELLO");
    EXPECT_EQ(status.error_code(), with_hello ? grpc::StatusCode::OUT_OF_RANGE : grpc::StatusCode::FAILED_PRECONDITION);
  }
}

TEST_P(RpcTest, AUnaryReportIsApplied) {
  grpc::ClientContext context;
  v1::UnaryReportRequest request;
  request.mutable_hello()->set_reporter_id("once");
  request.mutable_hello()->set_incarnation(1);
  v1::Batch* batch = request.mutable_batch();
  batch->set_seq(1);
  auto* series = batch->add_series();
  series->set_ref(1);
  series->set_family("once_total");
  batch->add_counter_refs(1);
  batch->add_counter_values(3);
  request.mutable_goodbye()->set_drained(true);
  v1::UnaryReportResponse response;
  const grpc::Status status = report_->Report(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.ack().through_seq(), 1u);
  EXPECT_EQ(response.ack().level(), GetParam() ? v1::ACK_LEVEL_DURABLE : v1::ACK_LEVEL_APPLIED);
}

TEST_P(RpcTest, AdminMakesAndShowsQueues) {
  v1::QueueInfo info;
  {
    grpc::ClientContext context;
    v1::PutQueueRequest request;
    request.set_name("made");
    request.mutable_config()->set_max_attempts(9);
    request.mutable_config()->set_scaling_policy(v1::SCALING_POLICY_COST);
    request.mutable_config()->set_contention_guard(v1::CONTENTION_GUARD_CAP);
    request.mutable_flags()->set_closed(true);
    const grpc::Status status = admin_->PutQueue(&context, request, &info);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(info.config().max_attempts(), 9u);
    EXPECT_EQ(info.config().lease_ttl_ms(), 30'000);
    EXPECT_EQ(info.config().scaling_policy(), v1::SCALING_POLICY_COST);
    EXPECT_EQ(info.config().contention_guard(), v1::CONTENTION_GUARD_CAP);
  }
  v1::SubmitResponse response;
  EXPECT_EQ(ReasonOf(Submit("x", &response, "made")), "QUEUE_CLOSED");
  MustSubmit("x");
  grpc::ClientContext context;
  v1::ListQueuesResponse list;
  ASSERT_TRUE(admin_->ListQueues(&context, v1::ListQueuesRequest(), &list).ok());
  ASSERT_EQ(list.queues_size(), 2);
  EXPECT_EQ(list.queues(0).name(), "made");
  EXPECT_EQ(list.queues(1).counts().ready(), 1u);
  EXPECT_EQ(list.queues(1).totals().submitted(), 1u);
  EXPECT_EQ(list.queues(1).config().scaling_policy(), v1::SCALING_POLICY_LATENCY);
  EXPECT_EQ(list.queues(1).config().contention_guard(), v1::CONTENTION_GUARD_WARN);
}

TEST_P(RpcTest, AdminRefusesScalingThatItDoesNotKnow) {
  const auto refused = [&](auto set) {
    grpc::ClientContext context;
    v1::PutQueueRequest request;
    request.set_name("made");
    set(request.mutable_config());
    v1::QueueInfo info;
    return ReasonOf(admin_->PutQueue(&context, request, &info));
  };
  EXPECT_EQ(refused([](auto* c) { c->set_scaling_policy(static_cast<v1::ScalingPolicy>(7)); }), "BAD_FIELD");
  EXPECT_EQ(refused([](auto* c) { c->set_contention_guard(static_cast<v1::ContentionGuard>(7)); }), "BAD_FIELD");
}

// What the wire has and this version cannot do is refused by name, never taken and forgotten.
TEST_P(RpcTest, FieldsThatAreNotSupportedYetAreRefusedByName) {
  const auto refused = [&](absl::string_view field, auto set) {
    grpc::ClientContext context;
    v1::PutQueueRequest request;
    request.set_name("made");
    set(&request);
    v1::QueueInfo info;
    const grpc::Status status = admin_->PutQueue(&context, request, &info);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << field;
    EXPECT_EQ(ReasonOf(status), "BAD_FIELD") << field;
    EXPECT_THAT(status.error_message(), testing::AllOf(testing::HasSubstr(std::string(field)), testing::HasSubstr("not supported yet")));
  };
  refused("fairness_weights", [](auto* r) { (*r->mutable_config()->mutable_fairness_weights())["k"] = 1; });
  refused("starvation_share", [](auto* r) { r->mutable_config()->set_starvation_share(0); });
  refused("max_in_flight", [](auto* r) { r->mutable_config()->set_max_in_flight(1); });
  refused("max_in_flight_per_key", [](auto* r) { r->mutable_config()->set_max_in_flight_per_key(1); });
  refused("dispatch_rate", [](auto* r) { r->mutable_config()->set_dispatch_rate(std::nan("")); });
  refused("submit_rate", [](auto* r) { r->mutable_config()->set_submit_rate(-1); });
  refused("draining", [](auto* r) { r->mutable_flags()->set_draining(true); });
  {
    grpc::ClientContext context;
    v1::SubmitRequest request;
    request.mutable_task()->set_queue("q");
    request.mutable_task()->set_fairness_key("tenant");
    v1::SubmitResponse response;
    const grpc::Status status = queue_->Submit(&context, request, &response);
    EXPECT_EQ(ReasonOf(status), "BAD_FIELD");
    EXPECT_THAT(status.error_message(), testing::HasSubstr("fairness_key"));
  }
  grpc::ClientContext context;
  v1::ListQueuesResponse list;
  ASSERT_TRUE(admin_->ListQueues(&context, v1::ListQueuesRequest(), &list).ok());
  EXPECT_EQ(list.queues_size(), 0);
}

TEST_P(RpcTest, CountsThatNoReportMayNameAreRefused) {
  for (const auto& [name, label, value] : {std::tuple{"wheelpit_tasks_submitted_total", "a", "b"}, {"", "a", "b"}, {"n_total", "__x", "b"}}) {
    grpc::ClientContext context;
    v1::SubmitRequest request;
    request.mutable_task()->set_queue("q");
    v1::CountedSeries* counted = request.mutable_task()->add_counts();
    counted->set_name(name);
    counted->add_labels()->set_name(label);
    counted->mutable_labels(0)->set_value(value);
    v1::SubmitResponse response;
    const grpc::Status status = queue_->Submit(&context, request, &response);
    EXPECT_EQ(ReasonOf(status), "BAD_FIELD") << name;
    EXPECT_THAT(status.error_message(), testing::StartsWith("counts: ")) << name;
  }
}

TEST_P(RpcTest, ReportFieldsThatAreNotTakenAreRejectedByName) {
  grpc::ClientContext context;
  v1::UnaryReportRequest request;
  request.mutable_hello()->set_reporter_id("r");
  request.mutable_hello()->set_incarnation(1);
  v1::Batch* batch = request.mutable_batch();
  batch->set_seq(1);
  batch->add_histograms()->set_ref(1);
  batch->add_native_histograms()->set_ref(1);
  batch->add_summaries()->set_ref(1);
  batch->add_exemplars()->set_ref(1);
  v1::UnaryReportResponse response;
  ASSERT_TRUE(report_->Report(&context, request, &response).ok());
  ASSERT_EQ(response.ack().rejects_size(), 4);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(response.ack().rejects(i).sample_index(), static_cast<uint32_t>(i));
    EXPECT_EQ(response.ack().rejects(i).reason(), "UNSUPPORTED_TYPE");
  }
  grpc::ClientContext other;
  request.mutable_hello()->set_mode(static_cast<v1::ValueMode>(77));
  const grpc::Status status = report_->Report(&other, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "mode: unknown value 77");
}

TEST_P(RpcTest, AWorkersProgressIsShownInItsTask) {
  const std::string id = MustSubmit("long");
  grpc::ClientContext context;
  auto stream = queue_->Work(&context);
  v1::WorkRequest hello;
  hello.mutable_hello()->add_queues()->set_name("q");
  hello.mutable_hello()->mutable_credit()->set_slots(1);
  ASSERT_TRUE(stream->Write(hello));
  v1::WorkResponse response;
  while (!response.has_assign()) ASSERT_TRUE(stream->Read(&response));
  v1::WorkRequest request;
  request.mutable_progress()->mutable_lease()->set_task_id(id);
  request.mutable_progress()->mutable_lease()->set_token(response.assign().assignments(0).token());
  request.mutable_progress()->set_percent(42);
  request.mutable_progress()->set_note("halfway");
  ASSERT_TRUE(stream->Write(request));
  // Answered after what was written before it.
  v1::WorkRequest extend;
  extend.mutable_extend()->add_extensions()->set_task_id(id);
  extend.mutable_extend()->mutable_extensions(0)->set_token(response.assign().assignments(0).token());
  ASSERT_TRUE(stream->Write(extend));
  while (!response.has_ack()) ASSERT_TRUE(stream->Read(&response));
  v1::Task task;
  {
    grpc::ClientContext get;
    v1::GetTaskRequest ask;
    ask.set_id(id);
    ASSERT_TRUE(queue_->GetTask(&get, ask, &task).ok());
  }
  EXPECT_EQ(task.progress_percent(), 42u);
  EXPECT_EQ(task.progress_note(), "halfway");
  request.mutable_progress()->set_percent(101);
  ASSERT_TRUE(stream->Write(request));
  while (stream->Read(&response)) {
  }
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(ReasonOf(status), "BAD_FIELD") << status.error_message();
}

TEST_P(RpcTest, ListTasksGivesEveryTaskOnceOverItsPages) {
  for (int i = 0; i < 5; ++i) MustSubmit("x");
  std::vector<std::string> ids;
  v1::ListTasksRequest request;
  request.set_queue("q");
  request.set_page_size(2);
  do {
    grpc::ClientContext context;
    v1::ListTasksResponse page;
    ASSERT_TRUE(queue_->ListTasks(&context, request, &page).ok());
    for (const auto& task : page.tasks()) ids.push_back(task.id());
    request.set_cursor(page.next_cursor());
  } while (!request.cursor().empty());
  EXPECT_EQ(ids.size(), 5u);
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::unique(ids.begin(), ids.end()), ids.end());
}

TEST_P(RpcTest, DrainingRefusesNewWorkEndsWaitsAndLetsCompletionsGoOn) {
  const std::string id = MustSubmit("x");
  const auto leases = Lease(1);
  ASSERT_EQ(leases.size(), 1u);
  grpc::Status waited;
  std::thread waiter([&] {
    grpc::ClientContext context;
    v1::WaitTaskRequest request;
    request.set_id(id);
    request.set_timeout_ms(600'000);
    v1::Task task;
    waited = queue_->WaitTask(&context, request, &task);
  });
  live_->rpc().StartDraining();
  v1::SubmitResponse response;
  grpc::Status status = Submit("y", &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(status), "DRAINING");
  EXPECT_EQ(Complete(id, leases[0].token()).status().code(), 0);
  waiter.join();
  EXPECT_TRUE(waited.ok() || ReasonOf(waited) == "DRAINING") << waited.error_message();
}

INSTANTIATE_TEST_SUITE_P(Journals, RpcTest, testing::Bool(), [](const auto& param) { return param.param ? "Disk" : "Memory"; });

TEST(RpcStartingTest, EverythingIsRefusedWhileStartingButTheServersOwnInfo) {
  LiveEngine live;
  ASSERT_TRUE(live.Start().ok());
  live.rpc().SetState(ServingState::kStarting);
  auto channel = live.NewChannel();
  v1::SubmitResponse response;
  v1::SubmitRequest request;
  request.mutable_task()->set_queue("q");
  {
    grpc::ClientContext context;
    const grpc::Status status = v1::QueueService::NewStub(channel)->Submit(&context, request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_EQ(ReasonOf(status), "STARTING");
  }
  grpc::ClientContext context;
  v1::ServerInfo info;
  ASSERT_TRUE(v1::AdminService::NewStub(channel)->GetServerInfo(&context, v1::GetServerInfoRequest(), &info).ok());
  EXPECT_FALSE(info.ready());
  EXPECT_FALSE(info.not_ready_reason().empty());
  EXPECT_EQ(info.journal_engine(), "memory");
}

TEST(RpcStartingTest, ABusyPortIsAnError) {
  LiveEngine live;
  ASSERT_TRUE(live.Start().ok());
  RpcServer second(&live.context());
  const absl::Status status = second.Start({.address = live.address()});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr(live.address()));
}

}  // namespace
}  // namespace wheelpit
