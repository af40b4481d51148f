#include "adapter/http/api_handler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "adapter/rules/builtin.h"
#include "adapter/rules/rule_config.h"
#include "base/errors.h"
#include "tests/support/fake_metric_source.h"

namespace wheelpit::adapter {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

class HandClock final : public Clock {
 public:
  TimeMs NowMs() const override { return 1714557600000; }
  int64_t MonotonicNanos() const override { return nanos; }
  absl::Time WallNow() const override { return absl::FromUnixMillis(NowMs()); }
  int64_t nanos = 0;
};

// Says no to what it was told to refuse.
class RefusingAuthorizer final : public Authorizer {
 public:
  bool AllowsAnyone(const RequestAttributes& attributes) const override {
    return open_paths.count(attributes.path) != 0;
  }
  absl::Status Authorize(const UserInfo&, const RequestAttributes& attributes) override {
    last = attributes;
    return answer;
  }
  RequestAttributes last;
  absl::Status answer;
  std::set<std::string> open_paths = {"/healthz", "/livez", "/readyz", "/readyz/rules"};
};

std::string Header(const HttpResponse& response, absl::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return "";
}

class ApiHandlerTest : public ::testing::Test {
 protected:
  ApiHandlerTest() {
    auto set = ParseRuleConfig(
        "externalRules:\n- {seriesQuery: queue_depth, metricsQuery: 'sum by (queue) "
        "(<<.Series>>{<<.LabelMatchers>>})'}\n");
    std::vector<Rule> rules = BuiltinExternalRules({"heavywork_requests_total"});
    rules.push_back(set->external_rules[0]);
    registry_ = *Registry::Create({&source_, nullptr}, std::move(rules), {});
    authenticator_ = NewStaticTokenAuthenticator("tok", {"u", "", {}, {}});
    ApiHandlerOptions options;
    options.server_address = "10.0.0.9:6443";
    options.version = "0.1.0";
    handler_ = std::make_unique<ApiHandler>(
        ApiHandlerParts{registry_.get(), authenticator_.get(), &authorizer_, &metrics_, &clock_},
        options, 1);
    source_.SetSeries("queue_depth", {{{"__name__", "queue_depth"}}});
    source_.SetSeries("{__name__=\"heavywork_requests_total\"}",
                      {{{"__name__", "heavywork_requests_total"}}});
    source_.SetValues("sum by (queue) (queue_depth{queue=\"work\",namespace=\"shop\"})",
                      {{{{"queue", "work"}}, 42}});
    registry_->Tick(absl::FromUnixSeconds(1));
  }
  HttpResponse Send(const std::string& method, const std::string& target, HttpHeaders headers = {},
                    bool token = true) {
    HttpRequest request;
    request.method = method;
    request.target = target;
    request.headers = std::move(headers);
    if (token) request.headers.emplace_back("Authorization", "Bearer tok");
    SplitTarget(&request);
    return handler_->Handle(request);
  }
  HttpResponse Get(const std::string& target, HttpHeaders headers = {}) {
    return Send("GET", target, std::move(headers));
  }

  FakeMetricSource source_;
  HandClock clock_;
  MetricRegistry metrics_;
  RefusingAuthorizer authorizer_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<Authenticator> authenticator_;
  std::unique_ptr<ApiHandler> handler_;
};

constexpr char kDepth[] =
    "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/queue_depth?labelSelector=queue%3Dwork";

TEST_F(ApiHandlerTest, AnswersAnExternalMetric) {
  const HttpResponse response =
      Get(kDepth, {{"Accept", "application/vnd.kubernetes.protobuf, */*"}});
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_EQ(
      response.body,
      R"({"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{},"items":[)"
      R"({"metricName":"queue_depth","metricLabels":{"queue":"work"},"timestamp":"2024-05-01T10:00:00Z","value":"42"}]})"
      "\n");
  EXPECT_EQ(Header(response, "Cache-Control"), "no-cache, private");
  EXPECT_THAT(Header(response, "Audit-Id"),
              MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_EQ(Header(response, "Retry-After"), "");
}

TEST_F(ApiHandlerTest, EchoesTheAuditId) {
  EXPECT_EQ(Header(Get("/version", {{"Audit-ID", "abc-1"}}), "Audit-Id"), "abc-1");
  EXPECT_NE(Header(Get("/version"), "Audit-Id"), Header(Get("/version"), "Audit-Id"));
}

TEST_F(ApiHandlerTest, DiscoversItsMetrics) {
  EXPECT_EQ(
      Get("/apis/external.metrics.k8s.io/v1beta1").body,
      R"({"kind":"APIResourceList","apiVersion":"v1","groupVersion":"external.metrics.k8s.io/v1beta1","resources":[)"
      R"({"name":"heavywork_requests_per_second","singularName":"","namespaced":true,"kind":"ExternalMetricValueList","verbs":["get"]},)"
      R"({"name":"queue_depth","singularName":"","namespaced":true,"kind":"ExternalMetricValueList","verbs":["get"]}]})"
      "\n");
  for (const char* version : {"custom.metrics.k8s.io/v1beta1", "custom.metrics.k8s.io/v1beta2",
                              "metrics.k8s.io/v1beta1"}) {
    const HttpResponse response = Get(absl::StrCat("/apis/", version, "/"));
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body,
              absl::StrCat(R"({"kind":"APIResourceList","apiVersion":"v1","groupVersion":")",
                           version, R"(","resources":[]})", "\n"));
  }
}

TEST_F(ApiHandlerTest, DiscoversItsGroups) {
  EXPECT_THAT(Get("/apis/").body,
              HasSubstr(R"({"kind":"APIGroupList","groups":[{"name":"custom.metrics.k8s.io")"));
  EXPECT_THAT(Get("/apis").body, HasSubstr(R"("serverAddress":"10.0.0.9:6443")"));
  EXPECT_THAT(
      Get("/apis/external.metrics.k8s.io").body,
      HasSubstr(R"({"kind":"APIGroup","apiVersion":"v1","name":"external.metrics.k8s.io")"));
  EXPECT_THAT(Get("/").body, HasSubstr("\"/apis/external.metrics.k8s.io/v1beta1\""));
  EXPECT_EQ(Get("/").status, 200);
}

TEST_F(ApiHandlerTest, DescribesItselfEmptily) {
  const HttpResponse v2 = Get("/openapi/v2");
  EXPECT_EQ(v2.content_type, "application/json");
  EXPECT_EQ(v2.body,
            R"({"swagger":"2.0","info":{"title":"Wheelpit metrics APIs","version":"0.1.0"},"paths":{}})"
            "\n");
  EXPECT_EQ(Get("/openapi/v3").body, "{\"paths\":{}}\n");
  EXPECT_EQ(Get("/openapi/v3/apis/external.metrics.k8s.io/v1beta1").status, 404);
  EXPECT_EQ(Get("/openapi").status, 404);
}

TEST_F(ApiHandlerTest, AggregatesDiscoveryByAccept) {
  const std::string accept =
      "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/"
      "json;g=apidiscovery.k8s.io;v=v2beta1;as="
      "APIGroupDiscoveryList";
  const HttpResponse response = Get("/apis", {{"Accept", accept}});
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type,
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
  EXPECT_EQ(Header(response, "Vary"), "Accept");
  EXPECT_THAT(response.body, HasSubstr("\"apiVersion\":\"apidiscovery.k8s.io/v2\""));
  const std::string etag = Header(response, "ETag");
  EXPECT_EQ(Get("/apis", {{"Accept", accept}, {"If-None-Match", etag}}).status, 304);
  EXPECT_EQ(Get("/apis", {{"Accept", accept}, {"If-None-Match", "\"other\""}}).status, 200);
}

TEST_F(ApiHandlerTest, PathsAreDecodedAfterSplitting) {
  source_.SetValues("sum by (queue) (queue_depth{namespace=\"a/b\"})", {});
  EXPECT_EQ(Get("/apis/external.metrics.k8s.io/v1beta1/namespaces/a%2Fb/queue%5Fdepth").status,
            200);
  EXPECT_EQ(Get("/apis/external.metrics.k8s.io/v1beta1/namespaces/a/b/queue_depth").status, 404);
  EXPECT_EQ(Get("/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/a%zz").status, 400);
}

TEST_F(ApiHandlerTest, ErrorsHaveKubernetesCodesAndTexts) {
  const std::string em = "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/";
  const std::string cm = "/apis/custom.metrics.k8s.io/v1beta2/";
  const struct {
    std::string method, target;
    int code;
    std::string text;
  } kCases[] = {
      {"GET", em + "nothing", 404,
       R"("message":"the server could not find the metric nothing for ","reason":"NotFound","code":404})"},
      {"GET", "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/nothing", 404,
       "for namespaces\""},
      {"GET", em + "queue_depth?labelSelector=a%3Db+c", 400,
       R"("message":"found 'c', expected: ',' or 'end of string'","reason":"BadRequest")"},
      {"GET", em + "queue_depth?watch=true", 405,
       R"(watch is not supported on resources of kind \"*.external.metrics.k8s.io\")"},
      {"GET", em + "queue_depth?timeout=x", 400,
       R"(invalid timeout specified in the request URL - time: invalid duration \"x\")"},
      {"GET", em + "queue_depth?fieldSelector=spec.x%3D1", 400,
       R"(\"spec.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\")"},
      {"GET", em + "queue_depth?labelSelector=queue%3E1", 500, "PromQL has no such matcher"},
      {"POST", em + "queue_depth", 405,
       R"("message":"the server does not allow this method on the requested resource","reason":"MethodNotAllowed","details":{},"code":405})"},
      {"DELETE", "/apis", 405, "MethodNotAllowed"},
      {"GET", em + "queue_depth/x", 404,
       R"("message":"the server could not find the requested resource","reason":"NotFound","details":{},"code":404})"},
      {"GET", "/apis/external.metrics.k8s.io/v1beta1/queue_depth", 404,
       "the server could not find the requested resource"},
      {"GET", "/apis/external.metrics.k8s.io/v1", 404, "\"paths\":["},
      {"GET", "/apis/apps/v1/deployments", 404, "\"paths\":["},
      {"GET", "/openapi/v4", 404, "\"paths\":["},
      {"GET", cm + "namespaces/shop/pods/%2A/m?labelSelector=app%3Dweb", 404,
       "the server could not find the metric m for pods\""},
      {"GET", cm + "namespaces/shop/deployments.apps/web/m", 404,
       "the server could not find the metric m for deployments.apps\""},
      {"GET", cm + "namespaces/shop/metrics/m", 404,
       "the server could not find the metric m for namespaces\""},
      {"GET", cm + "nodes/n1/m", 404, "the server could not find the metric m for nodes\""},
      {"GET", cm + "namespaces/shop/foo", 400, "\"message\":\"invalid request path\""},
      {"GET", cm + "namespaces/shop/metrics", 400, "\"message\":\"invalid request path\""},
      {"GET", cm + "namespaces/shop", 404, "the server could not find the requested resource"},
      {"GET", cm + "namespaces/shop/pods/web/m?metricLabelSelector=%3D", 400,
       "expected: !, identifier"},
      {"GET", "/apis/metrics.k8s.io/v1beta1/nodes", 404,
       "the server could not find the requested resource"},
  };
  for (const auto& c : kCases) {
    const HttpResponse response = Send(c.method, c.target);
    EXPECT_EQ(response.status, c.code) << c.target;
    EXPECT_THAT(response.body, HasSubstr(c.text)) << c.target;
    EXPECT_EQ(response.content_type, "application/json") << c.target;
  }
}

TEST_F(ApiHandlerTest, NothingAcceptableIs406) {
  const HttpResponse response = Get(kDepth, {{"Accept", "text/html"}});
  EXPECT_EQ(response.status, 406);
  EXPECT_THAT(response.body, HasSubstr("\"reason\":\"NotAcceptable\""));
  EXPECT_EQ(Get("/apis", {{"Accept", "text/html"}}).status, 406);
}

TEST_F(ApiHandlerTest, TheCauseOfAFailureIsInItsMessage) {
  source_.SetQueryError(
      "sum by (queue) (queue_depth{namespace=\"x\"})",
      MakeError(absl::StatusCode::kUnavailable, kReasonUnknown, "silent & <gone>"));
  const HttpResponse response =
      Get("/apis/external.metrics.k8s.io/v1beta1/namespaces/x/queue_depth");
  EXPECT_EQ(response.status, 500);
  EXPECT_THAT(
      response.body,
      HasSubstr("\"message\":\"Internal error occurred: unable to fetch metric queue_depth (rule "
                "externalRules[0] (line 2)): UNKNOWN: silent \\u0026 \\u003cgone\\u003e\""));
  EXPECT_EQ(Header(response, "Retry-After"), "");
  EXPECT_THAT(Get("/metrics").body,
              HasSubstr("wheelpit_adapter_failures_total{reason=\"UNKNOWN\"} 1\n"));
}

TEST_F(ApiHandlerTest, StrictlyItAnswersAsPrometheusAdapter) {
  ApiHandlerOptions options;
  options.strict_compat = true;
  handler_ = std::make_unique<ApiHandler>(
      ApiHandlerParts{registry_.get(), authenticator_.get(), &authorizer_, &metrics_, &clock_},
      options, 1);
  const std::string query = "sum by (queue) (queue_depth{namespace=\"x\"})";
  const std::string target = "/apis/external.metrics.k8s.io/v1beta1/namespaces/x/queue_depth";
  source_.SetQueryError(query, MakeError(absl::StatusCode::kUnavailable, kReasonUnknown, "silent"));
  EXPECT_THAT(Get(target).body,
              HasSubstr(R"("message":"Internal error occurred: unable to fetch metrics","reason":)"
                        R"("InternalError","details":{"causes":[{"message":"unable to fetch metrics"}]})"));
  source_.SetValues(query, {{{}, std::nan("")}, {{}, -1}});
  EXPECT_THAT(Get(target).body, HasSubstr("\"value\":\"-9223372036854775808m\""));
  EXPECT_THAT(Get(target).body, HasSubstr("\"value\":\"-1\""));
  EXPECT_EQ(Get("/apis/custom.metrics.k8s.io/v1beta1/nodes/n/m?metricLabelSelector=%3D").status, 500);
}

TEST_F(ApiHandlerTest, TheTimeoutOnlyShortens) {
  Get(absl::StrCat(kDepth, "&timeout=250ms"));
  EXPECT_EQ(source_.last_timeout(), absl::Milliseconds(250));
  Get(absl::StrCat(kDepth, "&timeout=5m"));
  EXPECT_EQ(source_.last_timeout(), absl::Seconds(10));
  Get(absl::StrCat(kDepth, "&timeout=0"));
  EXPECT_EQ(source_.last_timeout(), absl::Seconds(10));
}

TEST_F(ApiHandlerTest, PrettyForPeople) {
  EXPECT_THAT(Get(kDepth, {{"User-Agent", "curl/8.0"}}).body,
              HasSubstr("{\n  \"kind\": \"ExternalMetricValueList\""));
  EXPECT_THAT(Get(absl::StrCat(kDepth, "&pretty=true")).body, HasSubstr("\n  \"kind\""));
  EXPECT_THAT(Get(absl::StrCat(kDepth, "&pretty=false"), {{"User-Agent", "curl/8.0"}}).body,
              Not(HasSubstr("\n  ")));
}

TEST_F(ApiHandlerTest, WithoutTheTokenOnlyProbesAnswer) {
  for (const char* target : {kDepth, "/apis", "/version", "/metrics", "/", "/nowhere"}) {
    const HttpResponse response = Send("GET", target, {}, /*token=*/false);
    EXPECT_EQ(response.status, 401) << target;
    EXPECT_EQ(response.body,
              "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
              "\"message\":\"Unauthorized\",\"reason\":"
              "\"Unauthorized\",\"code\":401}\n");
  }
  EXPECT_EQ(Send("GET", "/healthz", {}, /*token=*/false).body, "ok");
  EXPECT_EQ(Send("GET", kDepth, {{"Authorization", "Bearer wrong"}}, /*token=*/false).status, 401);
}

TEST_F(ApiHandlerTest, TheAuthorizerSeesWhatRbacSees) {
  const struct {
    std::string target, verb, group, name_space, resource, name, subresource;
  } kCases[] = {
      {kDepth, "list", "external.metrics.k8s.io", "shop", "queue_depth", "", ""},
      {"/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/queue_depth?watch=1", "watch",
       "external.metrics.k8s.io", "shop", "queue_depth", "", ""},
      {"/apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/pods/%2A/m", "get",
       "custom.metrics.k8s.io", "shop", "pods", "*", "m"},
      {"/apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/metrics/m", "get",
       "custom.metrics.k8s.io", "shop", "metrics", "m", ""},
      {"/apis/custom.metrics.k8s.io/v1beta1/nodes/n1/m", "get", "custom.metrics.k8s.io", "",
       "nodes", "n1", "m"},
      {"/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods", "list", "metrics.k8s.io", "shop",
       "pods", "", ""},
  };
  for (const auto& c : kCases) {
    Get(c.target);
    const RequestAttributes& seen = authorizer_.last;
    EXPECT_TRUE(seen.is_resource) << c.target;
    EXPECT_EQ(seen.verb, c.verb) << c.target;
    EXPECT_EQ(seen.group, c.group) << c.target;
    EXPECT_EQ(seen.name_space, c.name_space) << c.target;
    EXPECT_EQ(seen.resource, c.resource) << c.target;
    EXPECT_EQ(seen.name, c.name) << c.target;
    EXPECT_EQ(seen.subresource, c.subresource) << c.target;
  }
  const struct {
    std::string method, target, verb;
  } kVerbs[] = {
      {"POST", kDepth, "create"},
      {"PUT", kDepth, "update"},
      {"PATCH", kDepth, "patch"},
      {"DELETE", kDepth, "deletecollection"},
      {"HEAD", kDepth, "list"},
      {"DELETE", "/apis/custom.metrics.k8s.io/v1beta1/nodes/n1/m", "delete"},
      {"POST", "/version", "post"},
  };
  for (const auto& c : kVerbs) {
    Send(c.method, c.target);
    EXPECT_EQ(authorizer_.last.verb, c.verb) << c.method << " " << c.target;
  }
  Get("/apis/external.metrics.k8s.io/v1beta1");
  EXPECT_FALSE(authorizer_.last.is_resource);
  EXPECT_EQ(authorizer_.last.path, "/apis/external.metrics.k8s.io/v1beta1");
  EXPECT_EQ(authorizer_.last.verb, "get");
}

TEST_F(ApiHandlerTest, ForbiddenSaysWhatIsForbidden) {
  authorizer_.answer = absl::PermissionDeniedError("RBAC: nothing");
  EXPECT_EQ(Get(kDepth).status, 403);
  EXPECT_THAT(
      Get(kDepth).body,
      HasSubstr(
          R"(queue_depth.external.metrics.k8s.io is forbidden: User \"u\" cannot list resource)"));
  EXPECT_THAT(
      Get("/apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/pods/%2A/m").body,
      HasSubstr(
          R"(pods.custom.metrics.k8s.io \"*\" is forbidden: User \"u\" cannot get resource \"pods/m\")"));
  EXPECT_THAT(
      Get("/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods").body,
      HasSubstr(
          R"(pods.metrics.k8s.io is forbidden: User \"u\" cannot list resource \"pods\" in API group \"metrics.k8s.io\" in the namespace \"shop\")"));
  EXPECT_THAT(Get(kDepth, {{"Impersonate-User", "bob"}}).body,
              HasSubstr(R"(users \"bob\" is forbidden: User \"u\" cannot impersonate)"));
  EXPECT_THAT(Get("/metrics").body,
              HasSubstr(R"(forbidden: User \"u\" cannot get path \"/metrics\": RBAC: nothing)"));
  EXPECT_EQ(Get("/livez").status, 200);
  authorizer_.answer = absl::UnavailableError("no API server");
  EXPECT_EQ(Get(kDepth).status, 500);
}

TEST_F(ApiHandlerTest, ProbesListTheirChecks) {
  EXPECT_EQ(Get("/healthz").body, "ok");
  EXPECT_EQ(Get("/livez?verbose").body, "[+]ping ok\nlivez check passed\n");
  EXPECT_EQ(Get("/readyz?verbose").body,
            "[+]ping ok\n[+]rules ok\n[+]shutdown ok\nreadyz check passed\n");
  EXPECT_EQ(Get("/readyz/ping").body, "ok");
  EXPECT_EQ(Get("/readyz/nothing").status, 404);
  EXPECT_EQ(Send("POST", "/healthz").status, 405);
  handler_->BeginShutdown();
  const HttpResponse response = Get("/readyz");
  EXPECT_EQ(response.status, 500);
  EXPECT_THAT(response.body, HasSubstr("[-]shutdown failed: reason withheld\n"));
  EXPECT_EQ(Get("/livez").status, 200);
  EXPECT_EQ(Get(kDepth).status, 200);
}

TEST_F(ApiHandlerTest, ReadinessWaitsForTheFirstListingButNotForEver) {
  registry_ = *Registry::Create({&source_, nullptr}, BuiltinExternalRules({}), {});
  ApiHandler handler({registry_.get(), authenticator_.get(), &authorizer_, &metrics_, &clock_}, {},
                     1);
  HttpRequest request;
  request.method = "GET";
  request.target = "/readyz";
  SplitTarget(&request);
  EXPECT_EQ(handler.Handle(request).status, 500);
  clock_.nanos += 30'000'000'000;
  EXPECT_EQ(handler.Handle(request).status, 200);
  clock_.nanos = 0;
  EXPECT_EQ(handler.Handle(request).status, 500);
  // A source that is away gives no listing.
  constexpr char kTasks[] = "{__name__=\"wheelpit_queue_tasks\"}";
  source_.SetSeriesError(kTasks, MakeError(absl::StatusCode::kUnavailable, kReasonUnreachable, ""));
  registry_->Tick(absl::FromUnixSeconds(1));
  EXPECT_EQ(handler.Handle(request).status, 500);
  source_.SetSeries(kTasks, {});
  registry_->Tick(absl::FromUnixSeconds(10));
  EXPECT_EQ(handler.Handle(request).status, 200);
}

TEST_F(ApiHandlerTest, VersionIsIndented) {
  EXPECT_EQ(Get("/version").body,
            "{\n  \"major\": \"1\",\n  \"minor\": \"0\",\n  \"gitVersion\": \"0.1.0\",\n  "
            "\"gitCommit\": \"\",\n  \"gitTreeState\": \"\",\n"
            "  \"buildDate\": \"\",\n  \"goVersion\": \"\",\n  \"compiler\": \"\",\n  "
            "\"platform\": \"\"\n}\n");
}

TEST_F(ApiHandlerTest, CountsWhatItAnswers) {
  Get(kDepth);
  Get(kDepth);
  Get("/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/nothing");
  Get("/apis");
  const HttpResponse response = Get("/metrics");
  EXPECT_EQ(response.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(response.body,
              HasSubstr("wheelpit_adapter_requests_total{api=\"external\",code=\"200\"} 2\n"));
  EXPECT_THAT(response.body,
              HasSubstr("wheelpit_adapter_requests_total{api=\"external\",code=\"404\"} 1\n"));
  EXPECT_THAT(response.body,
              HasSubstr("wheelpit_adapter_requests_total{api=\"discovery\",code=\"200\"} 1\n"));
  EXPECT_THAT(response.body,
              HasSubstr("wheelpit_adapter_rule_up{rule=\"externalRules[0] (line 2)\"} 1\n"));
  EXPECT_THAT(response.body, HasSubstr("wheelpit_adapter_external_metrics 2\n"));
  EXPECT_THAT(response.body,
              HasSubstr("wheelpit_adapter_rule_series_names{rule=\"externalRules[0] (line 2)\"} 1\n"));
  EXPECT_THAT(response.body,
              HasSubstr("wheelpit_adapter_rule_last_answer_timestamp_seconds{rule=\"externalRules[0] "
                        "(line 2)\"} 1\n"));
  ASSERT_TRUE(registry_->SetRules(BuiltinExternalRules({})).ok());
  EXPECT_THAT(Get("/metrics").body, Not(HasSubstr("externalRules")));
}

TEST_F(ApiHandlerTest, TheServersOwnErrorsAreStatusesToo) {
  const HttpResponse response = ApiHandler::ServerError(413, "body too large");
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(response.body,
            "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
            "\"message\":\"body too large\",\"reason\":"
            "\"RequestEntityTooLarge\",\"code\":413}\n");
}

}  // namespace
}  // namespace wheelpit::adapter
