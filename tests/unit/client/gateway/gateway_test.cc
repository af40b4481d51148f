#include "client/gateway/gateway.h"

#include "base/errors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace wheelpit {
namespace {

class RecordingBackend : public GatewayBackend {
 public:
  absl::StatusOr<std::string> Submit(GatewayTask task) override {
    if (!refuse.ok()) return refuse;
    tasks.push_back(std::move(task));
    return "0-7";
  }
  absl::Status Count(const std::string& counter, const GatewayLabels& labels) override {
    if (!refuse.ok()) return refuse;
    counted.push_back(counter);
    last_labels = labels;
    return absl::OkStatus();
  }
  absl::Status refuse;
  std::vector<GatewayTask> tasks;
  std::vector<std::string> counted;
  GatewayLabels last_labels;
};

HttpRequest Post(const std::string& target, const std::string& body = "") {
  HttpRequest request;
  request.method = "POST";
  request.target = target;
  request.body = body;
  SplitTarget(&request);
  return request;
}

constexpr char kRoutes[] =
    "[{path: /heavy, counter: heavy_total, queue: jobs, status: 202, message: \"Heavy \\\"work\\\" started\"},"
    " {path: /light, counter: light_total, message: Light work done}]";

class GatewayTest : public testing::Test {
 protected:
  GatewayTest() {
    gateway_ = *Gateway::Create(*ParseRoutes(kRoutes), {{"namespace", "shop"}, {"pod", "w-1"}}, &backend_);
    gateway_->AddTo(&router_);
  }
  RecordingBackend backend_;
  std::unique_ptr<Gateway> gateway_;
  HttpRouter router_;
};

TEST_F(GatewayTest, ARouteWithAQueueSubmitsTheBodyWithItsCount) {
  HttpRequest request = Post("/heavy", "payload");
  request.headers.emplace_back("Content-Type", "text/plain");
  request.headers.emplace_back("Idempotency-Key", "k1");
  const HttpResponse response = router_.Handle(request);
  EXPECT_EQ(response.status, 202);
  EXPECT_EQ(response.body, "{\"message\": \"Heavy \\\"work\\\" started\", \"id\": \"0-7\"}\n");
  EXPECT_THAT(response.headers, testing::Contains(testing::Pair("Location", "/v1/tasks/0-7")));
  ASSERT_EQ(backend_.tasks.size(), 1u);
  const GatewayTask& task = backend_.tasks[0];
  EXPECT_EQ(task.queue, "jobs");
  EXPECT_EQ(task.payload, "payload");
  EXPECT_EQ(task.content_type, "text/plain");
  EXPECT_EQ(task.idempotency_key, "k1");
  EXPECT_EQ(task.counter, "heavy_total");
  EXPECT_EQ(task.labels, gateway_->labels());
  EXPECT_TRUE(backend_.counted.empty());
}

TEST_F(GatewayTest, ARouteWithoutAQueueCounts) {
  const HttpResponse response = router_.Handle(Post("/light"));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "{\"message\": \"Light work done\"}\n");
  EXPECT_THAT(backend_.counted, testing::ElementsAre("light_total"));
  EXPECT_EQ(backend_.last_labels, gateway_->labels());
}

TEST_F(GatewayTest, RefusalsCarryTheReasonAndTheTimeToRetry) {
  backend_.refuse = MakeError(absl::StatusCode::kResourceExhausted, "QUEUE_FULL", "queue jobs is full", absl::Milliseconds(1500));
  const HttpResponse response = router_.Handle(Post("/heavy"));
  EXPECT_EQ(response.status, 429);
  EXPECT_THAT(response.body, testing::HasSubstr("QUEUE_FULL"));
  EXPECT_THAT(response.headers, testing::Contains(testing::Pair("Retry-After", "2")));
}

TEST_F(GatewayTest, OnlyPostIsTaken) {
  HttpRequest request = Post("/light");
  request.method = "GET";
  EXPECT_EQ(router_.Handle(request).status, 405);
  EXPECT_TRUE(backend_.counted.empty());
}

TEST_F(GatewayTest, CountersAreNamedOnce) { EXPECT_THAT(gateway_->counters(), testing::ElementsAre("heavy_total", "light_total")); }

TEST(GatewayRoutesTest, ErrorsNameTheRouteAndWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"[{path: heavy, counter: c_total}]", "must begin with /"},
      {"[{path: /a}]", "counter"},
      {"[{path: /a, counter: c_total, colour: red}]", "colour"},
      {"[{path: /a, counter: c_total, status: 404}]", "200 to 299"},
      {"[{path: /a, counter: c_total, status: many}]", "routes"},
      {"[{path: /a, counter: wheelpit_x_total}]", "wheelpit_"},
      {"{path: /a}", "must be a list"},
      {"[{path: /a", "routes"},
  };
  for (const auto& [text, part] : cases) {
    const auto routes = ParseRoutes(text);
    ASSERT_FALSE(routes.ok()) << text;
    EXPECT_EQ(routes.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(routes.status().message()), testing::HasSubstr(part)) << text;
  }
  EXPECT_TRUE(ParseRoutes("").ok());
  RecordingBackend backend;
  EXPECT_FALSE(Gateway::Create(*ParseRoutes("[{path: /a, counter: b_total}, {path: /a, counter: c_total}]"), {}, &backend).ok());
}

TEST(GatewayLabelsTest, FallBackToDefaultAndTheHost) {
  EXPECT_EQ(GatewayLabelsFrom("shop", "w-1", "host"), (GatewayLabels{{"namespace", "shop"}, {"pod", "w-1"}}));
  EXPECT_EQ(GatewayLabelsFrom("", "", "host"), (GatewayLabels{{"namespace", "default"}, {"pod", "host"}}));
}

}  // namespace
}  // namespace wheelpit
