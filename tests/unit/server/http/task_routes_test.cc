#include "server/http/task_routes.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/server/http/fake_http_backend.h"

namespace wheelpit {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class TaskRoutesTest : public testing::Test {
 protected:
  TaskRoutesTest() : routes_(&backend_, /*waits_max=*/1) {
    TaskView view;
    view.id = TaskId{7};
    view.queue = "q";
    view.state = TaskState::kSucceeded;
    view.submitted_at_ms = 1'700'000'000'000;
    view.attempts = 2;
    view.result = std::string("\0raw\xff", 5);
    view.result_content_type = "image/png";
    view.result_size_bytes = 5;
    backend_.tasks[7] = view;
    view.id = TaskId{8};
    view.state = TaskState::kReady;
    backend_.tasks[8] = view;
  }
  HttpResponse Submit(HttpHeaders headers, const std::string& body = "payload") {
    return routes_.Submit(MakeRequest("POST", "/v1/queues/q/tasks", std::move(headers), body), "q");
  }
  static std::string Reason(const HttpResponse& response) { return json::parse(response.body)["error"]["reason"]; }
  std::string Id(uint64_t id) { return FormatTaskId(TaskId{id}); }

  FakeHttpBackend backend_;
  TaskRoutes routes_;
};

TEST_F(TaskRoutesTest, SubmitTakesBodyAndHeaders) {
  backend_.outcome = {TaskId{9}, false, TaskState::kReady};
  const HttpResponse response = Submit({{"Content-Type", "text/x"},
                                        {"Idempotency-Key", "k%41"},
                                        {"traceparent", "00-abc"},
                                        {"x-task-priority", "-3"},
                                        {"X-Task-Delay", "1m30s"},
                                        {"X-Task-Lease-TTL", "45s"},
                                        {"X-Task-Max-Attempts", "9"},
                                        {"X-Task-Fairness-Key", "tenant"},
                                        {"X-Task-Attribute", "a=1=2"},
                                        {"X-Task-Attribute", "b="}},
                                       std::string("\0body", 5));
  EXPECT_EQ(response.status, 202) << response.body;
  EXPECT_EQ(HeaderOf(response, "Location"), "/v1/tasks/" + Id(9));
  EXPECT_EQ(json::parse(response.body), json({{"id", Id(9)}, {"state", "TASK_STATE_READY"}}));
  ASSERT_EQ(backend_.submitted.size(), 1u);
  const TaskSpec& spec = backend_.submitted[0];
  EXPECT_EQ(spec.queue, "q");
  EXPECT_EQ(spec.payload, std::string("\0body", 5));
  EXPECT_EQ(spec.content_type, "text/x");
  EXPECT_EQ(spec.idempotency_key, "k%41");
  EXPECT_EQ(spec.trace_context, "00-abc");
  EXPECT_EQ(spec.priority, -3);
  EXPECT_EQ(spec.delay_ms, 90'000);
  EXPECT_EQ(spec.lease_ttl_ms, 45'000);
  EXPECT_EQ(spec.max_attempts, 9u);
  EXPECT_EQ(spec.fairness_key, "tenant");
  EXPECT_EQ(spec.attributes, (std::map<std::string, std::string>{{"a", "1=2"}, {"b", ""}}));
}

TEST_F(TaskRoutesTest, RepeatsOfEndedTasksAre200) {
  backend_.outcome = {TaskId{9}, true, TaskState::kSucceeded};
  EXPECT_EQ(Submit({}).status, 200);
  backend_.outcome.state = TaskState::kLeased;
  EXPECT_EQ(Submit({}).status, 202);
}

TEST_F(TaskRoutesTest, BadHeadersAreNamed) {
  for (const auto& [name, value] : HttpHeaders{{"X-Task-Priority", "high"},
                                               {"X-Task-Delay", "soon"},
                                               {"X-Task-Max-Attempts", "-1"},
                                               {"X-Task-Attribute", "novalue"},
                                               {"X-Task-Prority", "1"}}) {
    const HttpResponse response = Submit({{name, value}});
    EXPECT_EQ(response.status, 400) << name;
    EXPECT_EQ(Reason(response), "BAD_FIELD");
    EXPECT_THAT(response.body, HasSubstr(name));
  }
  EXPECT_TRUE(backend_.submitted.empty());
}

TEST_F(TaskRoutesTest, RefusalsKeepTheirStatusAndReason) {
  const struct {
    absl::Status status;
    int code;
  } cases[] = {
      {MakeError(absl::StatusCode::kInvalidArgument, "PAYLOAD_TOO_LARGE", "m"), 413},
      {MakeError(absl::StatusCode::kAlreadyExists, "IDEMPOTENCY_CONFLICT", "m"), 409},
      {MakeError(absl::StatusCode::kFailedPrecondition, "QUEUE_CLOSED", "m"), 409},
      {MakeError(absl::StatusCode::kResourceExhausted, "QUEUE_FULL", "m", absl::Milliseconds(1500)), 429},
      {MakeError(absl::StatusCode::kResourceExhausted, "DISK_LOW", "m"), 507},
      {MakeError(absl::StatusCode::kUnavailable, "STARTING", "a \"quoted\" <m>"), 503},
      {MakeError(absl::StatusCode::kDataLoss, "CORRUPT", "m"), 500},
  };
  for (const auto& c : cases) {
    backend_.submit_error = c.status;
    const HttpResponse response = Submit({});
    EXPECT_EQ(response.status, c.code) << c.status;
    EXPECT_EQ(Reason(response), ErrorReason(c.status));
    EXPECT_EQ(json::parse(response.body)["error"]["message"], std::string(c.status.message()));
    EXPECT_EQ(HeaderOf(response, "Retry-After"), c.code == 429 ? "2" : "");
  }
}

TEST_F(TaskRoutesTest, TasksAreShownAsProtoJson) {
  const HttpResponse response = routes_.Get(MakeRequest("GET", "/v1/tasks/x"), Id(7));
  EXPECT_EQ(response.status, 200);
  const json task = json::parse(response.body);
  EXPECT_EQ(task["id"], Id(7));
  EXPECT_EQ(task["state"], "TASK_STATE_SUCCEEDED");
  EXPECT_EQ(task["submitted_at_ms"], "1700000000000");
  EXPECT_EQ(task["attempts"], 2);
  EXPECT_EQ(task["result_size_bytes"], "5");
  EXPECT_FALSE(task.contains("result"));
  EXPECT_EQ(routes_.Get(MakeRequest("GET", "/"), Id(99)).status, 404);
  EXPECT_EQ(routes_.Get(MakeRequest("GET", "/"), "no-id").status, 400);
}

TEST_F(TaskRoutesTest, WaitsAreReadCheckedAndLimited) {
  routes_.Get(MakeRequest("GET", "/x?wait=30s"), Id(7));
  EXPECT_EQ(backend_.last_timeout_ms, 30'000);
  EXPECT_EQ(Reason(routes_.Get(MakeRequest("GET", "/x?wait=11m"), Id(7))), "OUT_OF_LIMITS");
  EXPECT_EQ(Reason(routes_.Get(MakeRequest("GET", "/x?wait=long"), Id(7))), "BAD_FIELD");
  int second = 0, plain = 0;
  backend_.during_get = [&] {
    const HttpResponse refused = routes_.Get(MakeRequest("GET", "/x?wait=1s"), Id(7));
    second = refused.status;
    EXPECT_EQ(Reason(refused), "TOO_MANY_WAITS");
    plain = routes_.Get(MakeRequest("GET", "/x"), Id(7)).status;
  };
  EXPECT_EQ(routes_.Get(MakeRequest("GET", "/x?wait=1s"), Id(7)).status, 200);
  EXPECT_EQ(second, 429);
  EXPECT_EQ(plain, 200);
  EXPECT_EQ(routes_.Get(MakeRequest("GET", "/x?wait=1s"), Id(7)).status, 200);
}

TEST_F(TaskRoutesTest, ResultsAreRawBytes) {
  const HttpResponse response = routes_.Result(MakeRequest("GET", "/x"), Id(7));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "image/png");
  EXPECT_EQ(response.body, std::string("\0raw\xff", 5));
  EXPECT_EQ(HeaderOf(response, "X-Content-Type-Options"), "nosniff");
  const HttpResponse none = routes_.Result(MakeRequest("GET", "/x"), Id(8));
  EXPECT_EQ(none.status, 409);
  EXPECT_EQ(Reason(none), "NO_RESULT");
  EXPECT_THAT(none.body, HasSubstr("ready"));
}

TEST_F(TaskRoutesTest, CancelMayForce) {
  EXPECT_EQ(routes_.Cancel(MakeRequest("DELETE", "/x"), Id(8)).status, 200);
  EXPECT_FALSE(backend_.last_force);
  routes_.Cancel(MakeRequest("DELETE", "/x?force=1"), Id(8));
  EXPECT_TRUE(backend_.last_force);
  EXPECT_EQ(routes_.Cancel(MakeRequest("DELETE", "/x"), Id(7)).status, 409);
}

}  // namespace
}  // namespace wheelpit
