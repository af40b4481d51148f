#include "base/http/router.h"

#include "absl/strings/str_join.h"
#include "gtest/gtest.h"

namespace wheelpit {
namespace {

HttpRouter MakeRouter() {
  HttpRouter router;
  const auto echo = [](const HttpRequest& request, const PathParts& parts) {
    return TextResponse(200, request.method + ":" + absl::StrJoin(parts, ","));
  };
  router.Add("GET", "/", echo);
  router.Add("POST", "/v1/queues/{queue}/tasks", echo);
  router.Add("GET", "/v1/tasks/{id}", echo);
  router.Add("DELETE", "/v1/tasks/{id}", echo);
  return router;
}

HttpResponse Ask(const std::string& method, const std::string& target) {
  HttpRequest request;
  request.method = method;
  request.target = target;
  SplitTarget(&request);
  return MakeRouter().Handle(request);
}

TEST(RouterTest, PlacesAreDecodedAfterSplitting) {
  EXPECT_EQ(Ask("POST", "/v1/queues/a%2Fb/tasks?x=1").body, "POST:a/b");
  EXPECT_EQ(Ask("DELETE", "/v1/tasks/0-1").body, "DELETE:0-1");
  EXPECT_EQ(Ask("HEAD", "/").body, "HEAD:");
  EXPECT_EQ(Ask("GET", "/v1/tasks/%zz").status, 400);
}

TEST(RouterTest, UnknownPathsAndMethodsDiffer) {
  EXPECT_EQ(Ask("GET", "/v1/tasks").status, 404);
  EXPECT_EQ(Ask("GET", "/v1/tasks/").status, 404);
  EXPECT_EQ(Ask("GET", "/v1/tasks/1/").status, 404);
  const HttpResponse response = Ask("PUT", "/v1/tasks/1");
  EXPECT_EQ(response.status, 405);
  ASSERT_EQ(response.headers.size(), 1u);
  EXPECT_EQ(response.headers[0].second, "GET, HEAD, DELETE");
}

}  // namespace
}  // namespace wheelpit
