// Lists and watches on a client whose answers are written down, and on real HTTPS.
#include "adapter/kube/list_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <thread>

#include "base/status_macros.h"
#include "tests/support/fake_kube_api.h"

namespace wheelpit::adapter {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

Json Object(const std::string& name, const std::string& version, const std::string& value) {
  return {{"metadata", {{"name", name}, {"resourceVersion", version}}}, {"value", value}};
}

class ScriptedClient final : public KubeClient {
 public:
  absl::StatusOr<Json> Get(absl::string_view target, absl::Duration) override {
    targets.emplace_back(target);
    return list;
  }
  absl::StatusOr<Json> Post(absl::string_view, const Json&, absl::Duration) override {
    return absl::UnimplementedError("");
  }
  absl::Status Watch(absl::string_view target, absl::Duration,
                     absl::FunctionRef<absl::Status(const Json&)> on_event) override {
    targets.emplace_back(target);
    while (!events.empty()) {
      const Json event = events.front();
      events.pop_front();
      WHEELPIT_RETURN_IF_ERROR(on_event(event));
    }
    return absl::OkStatus();
  }
  void Cancel() override {}

  Json list;
  std::deque<Json> events;
  std::vector<std::string> targets;
};

class ListWatchTest : public ::testing::Test {
 protected:
  ListWatchTest()
      : follow_(&client_, "/api/v1/things", "a%3Db", [this](const ListWatch::Objects& now) {
          std::string state;
          for (const auto& [name, object] : now)
            state += name + "=" + object["value"].get<std::string>() + " ";
          states_.push_back(state);
        }) {
    client_.list = {{"metadata", {{"resourceVersion", "7"}}},
                    {"items", {Object("x", "5", "1"), Object("y", "6", "1")}}};
  }
  ScriptedClient client_;
  std::vector<std::string> states_;
  ListWatch follow_;
};

TEST_F(ListWatchTest, FollowsChangesFromWhereItStopped) {
  ASSERT_TRUE(follow_.List(absl::Seconds(1)).ok());
  client_.events = {{{"type", "MODIFIED"}, {"object", Object("x", "8", "2")}},
                    {{"type", "DELETED"}, {"object", Object("y", "9", "1")}},
                    {{"type", "ADDED"}, {"object", Object("z", "10", "3")}},
                    {{"type", "BOOKMARK"}, {"object", {{"metadata", {{"resourceVersion", "44"}}}}}}};
  ASSERT_TRUE(follow_.Watch(absl::Seconds(60)).ok());
  EXPECT_THAT(states_, ElementsAre("x=1 y=1 ", "x=2 y=1 ", "x=2 ", "x=2 z=3 "));
  ASSERT_TRUE(follow_.Watch(absl::Seconds(60)).ok());
  EXPECT_THAT(client_.targets,
              ElementsAre("/api/v1/things?a%3Db", HasSubstr("watch=true&allowWatchBookmarks=true&resourceVersion=7&timeoutSeconds=60"),
                          HasSubstr("resourceVersion=44")));
}

TEST_F(ListWatchTest, GoneMeansListAgainAndOtherErrorsAreErrors) {
  ASSERT_TRUE(follow_.List(absl::Seconds(1)).ok());
  client_.events = {{{"type", "ERROR"}, {"object", {{"code", 410}, {"message", "too old"}}}}};
  EXPECT_TRUE(follow_.Watch(absl::Seconds(60)).ok());
  client_.events = {{{"type", "ERROR"}, {"object", {{"code", 500}, {"message", "broken"}}}}};
  EXPECT_THAT(std::string(follow_.Watch(absl::Seconds(60)).message()), HasSubstr("broken"));
  client_.events = {{{"typo", "ADDED"}}};
  EXPECT_EQ(follow_.Watch(absl::Seconds(60)).code(), absl::StatusCode::kInternal);
  client_.list = {{"kind", "Status"}};
  EXPECT_EQ(follow_.List(absl::Seconds(1)).code(), absl::StatusCode::kInternal);
}

TEST(ListWatchLiveTest, SeesAChangeOverHttps) {
  FakeKubeApi api;
  api.SetAuthData({{"k", "1"}});
  SystemClock clock;
  const auto client = *NewKubeClient(api.Config(), &clock);
  std::vector<std::string> values;
  ListWatch follow(client.get(), "/api/v1/namespaces/kube-system/configmaps",
                   "fieldSelector=metadata.name%3Dextension-apiserver-authentication",
                   [&](const ListWatch::Objects& now) {
                     for (const auto& [name, object] : now) values.push_back(object["data"]["k"]);
                   });
  ASSERT_TRUE(follow.List(absl::Seconds(10)).ok());
  std::thread change([&] {
    api.AwaitWatches(1);
    api.SetAuthData({{"k", "2"}});
  });
  EXPECT_TRUE(follow.Watch(absl::Minutes(1)).ok());
  change.join();
  EXPECT_THAT(values, ElementsAre("1", "2"));
  // A wait is ended from elsewhere.
  std::thread cancel([&] {
    api.AwaitWatches(2);
    client->Cancel();
  });
  EXPECT_EQ(follow.Watch(absl::Minutes(1)).code(), absl::StatusCode::kCancelled);
  cancel.join();
}

}  // namespace
}  // namespace wheelpit::adapter
