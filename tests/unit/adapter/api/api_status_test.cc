#include "adapter/api/api_status.h"

#include <gtest/gtest.h>

namespace wheelpit::adapter {
namespace {

TEST(ApiStatusTest, WritesStatusObjects) {
  const struct {
    ApiStatus status;
    const char* text;
  } kCases[] = {
      {ExternalMetricNotFound("queue_depth", "shop"),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server could not find the metric queue_depth for ","reason":"NotFound","code":404})"},
      {ExternalMetricNotFound("queue_depth", "default"),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server could not find the metric queue_depth for namespaces","reason":"NotFound","code":404})"},
      {CustomMetricNotFound("m", "pods", "*"),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server could not find the metric m for pods","reason":"NotFound","code":404})"},
      {CustomMetricNotFound("m", "deployments.apps", "web"),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server could not find the metric m for deployments.apps web","reason":"NotFound","code":404})"},
      {InternalError("unable to fetch metrics"),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Internal error occurred: unable to fetch metrics","reason":"InternalError","details":{"causes":[{"message":"unable to fetch metrics"}]},"code":500})"},
      {BadRequest("invalid request path"),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"invalid request path","reason":"BadRequest","code":400})"},
      {MethodNotAllowed(),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server does not allow this method on the requested resource","reason":"MethodNotAllowed","details":{},"code":405})"},
      {WatchNotSupported("external.metrics.k8s.io", "*.external.metrics.k8s.io"),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"watch is not supported on resources of kind \"*.external.metrics.k8s.io\"","reason":"MethodNotAllowed","details":{"group":"external.metrics.k8s.io","kind":"*"},"code":405})"},
      {NoRoute(),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server could not find the requested resource","reason":"NotFound","details":{},"code":404})"},
      {Unauthorized(),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401})"},
      {RequestTimeout(),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Timeout: request did not complete within the allotted timeout","reason":"Timeout","details":{},"code":504})"},
      {ForbiddenResource("u", "list", {"external.metrics.k8s.io", "queue_depth", "", "", "shop"}, ""),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"queue_depth.external.metrics.k8s.io is forbidden: User \"u\" cannot list resource \"queue_depth\" in API group \"external.metrics.k8s.io\" in the namespace \"shop\"","reason":"Forbidden","details":{"group":"external.metrics.k8s.io","kind":"queue_depth"},"code":403})"},
      {ForbiddenResource("u", "get", {"custom.metrics.k8s.io", "pods", "METRIC", "*", "shop"}, "no"),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods.custom.metrics.k8s.io \"*\" is forbidden: User \"u\" cannot get resource \"pods/METRIC\" in API group \"custom.metrics.k8s.io\" in the namespace \"shop\": no","reason":"Forbidden","details":{"name":"*","group":"custom.metrics.k8s.io","kind":"pods"},"code":403})"},
      {ForbiddenResource("u", "impersonate", {"", "users", "", "bob", ""}, ""),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"users \"bob\" is forbidden: User \"u\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope","reason":"Forbidden","details":{"name":"bob","kind":"users"},"code":403})"},
      {ForbiddenPath("system:anonymous", "get", "/metrics", ""),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"forbidden: User \"system:anonymous\" cannot get path \"/metrics\"","reason":"Forbidden","details":{},"code":403})"},
  };
  for (const auto& c : kCases)
    EXPECT_EQ(JsonText(StatusObject(c.status), false), std::string(c.text) + "\n");
}

}  // namespace
}  // namespace wheelpit::adapter
