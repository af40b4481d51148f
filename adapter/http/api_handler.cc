#include "adapter/http/api_handler.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "adapter/api/accept.h"
#include "adapter/api/discovery.h"
#include "adapter/http/impersonation.h"
#include "adapter/http/own_metrics_text.h"
#include "adapter/naming/go_text.h"
#include "base/errors.h"
#include "base/log.h"

namespace wheelpit::adapter {
namespace {

constexpr absl::Duration kTimeoutMax = absl::Seconds(60);

bool IsGet(const HttpRequest& request) {
  return request.method == "GET" || request.method == "HEAD";
}

// strconv.ParseBool's true.
bool ParsesTrue(absl::string_view text) {
  return text == "1" || text == "t" || text == "T" || text == "true" || text == "True" ||
         text == "TRUE";
}

bool WantsPretty(const HttpRequest& request) {
  if (const absl::string_view pretty = request.Query("pretty"); !pretty.empty())
    return ParsesTrue(pretty);
  const absl::string_view agent = request.Header("User-Agent");
  return absl::StartsWith(agent, "curl") || absl::StartsWith(agent, "Wget") ||
         absl::StartsWith(agent, "Mozilla/5.0");
}

HttpResponse JsonAnswer(int code, const Json& json, bool pretty) {
  return JsonResponse(code, JsonText(json, pretty));
}

// The field labels that lists of metrics know.
std::optional<ApiStatus> CheckFieldSelector(absl::string_view selector) {
  for (absl::string_view term : absl::StrSplit(selector, ',', absl::SkipEmpty())) {
    const size_t equals = term.find('=');
    if (equals == absl::string_view::npos) {
      return BadRequest(
          absl::StrCat("invalid field selector: '", selector, "'; can't understand '", term, "'"));
    }
    absl::string_view key = term.substr(0, equals);
    if (absl::EndsWith(key, "!")) key.remove_suffix(1);
    if (key != "metadata.name" && key != "metadata.namespace") {
      return BadRequest(absl::StrCat(
          GoQuote(key),
          " is not a known field selector: only \"metadata.name\", \"metadata.namespace\""));
    }
  }
  return std::nullopt;
}

}  // namespace

struct ApiHandler::Call {
  const HttpRequest& request;
  // Decoded after splitting; without a last empty one.
  std::vector<std::string> path;
  bool pretty = false;
  // Of the URL; without one nothing is.
  absl::Duration timeout_asked = absl::InfiniteDuration();
  // For the counters.
  absl::string_view api = "other";
  // Of an error, for the log.
  std::string cause;

  HttpResponse Answer(int code, const Json& json) const { return JsonAnswer(code, json, pretty); }
  HttpResponse Error(const ApiStatus& status) {
    cause = status.message;
    return JsonAnswer(status.code, StatusObject(status), pretty);
  }
};

namespace {

bool IsHealth(const std::vector<std::string>& path) {
  return !path.empty() && (path[0] == "healthz" || path[0] == "livez" || path[0] == "readyz");
}

absl::string_view ApiOf(const std::vector<std::string>& path) {
  if (IsHealth(path)) return "health";
  if (path.empty() || path[0] != "apis") return "other";
  if (path.size() <= 3) return "discovery";
  if (path[1] == kExternalGroup) return "external";
  if (path[1] == kCustomGroup) return "custom";
  return path[1] == kResourceGroup ? "resource" : "other";
}

std::string Verb(const HttpRequest& request) { return absl::AsciiStrToLower(request.method); }

// RBAC's word for a method on a resource.
std::string ResourceVerb(const HttpRequest& request, bool one) {
  if (IsGet(request)) {
    if (one) return "get";
    return ParsesTrue(request.Query("watch")) ? "watch" : "list";
  }
  if (request.method == "POST") return "create";
  if (request.method == "PUT") return "update";
  if (request.method == "DELETE") return one ? "delete" : "deletecollection";
  return Verb(request);
}

// What is asked for, in the words of RBAC.
RequestAttributes AttributesOf(const HttpRequest& request, const std::vector<std::string>& path) {
  RequestAttributes attributes;
  attributes.verb = Verb(request);
  attributes.path = absl::StrCat("/", absl::StrJoin(path, "/"));
  if (path.size() <= 3 || path[0] != "apis" || !HasVersion(path[1], path[2])) return attributes;
  attributes.is_resource = true;
  attributes.group = path[1];
  attributes.version = path[2];
  size_t at = 3;
  // `namespaces/NS/…`; the namespace object itself is a resource like any other.
  if (path[at] == "namespaces" && path.size() > at + 2) {
    attributes.name_space = path[at + 1];
    at += 2;
  }
  attributes.resource = path[at];
  if (path.size() > at + 1) attributes.name = path[at + 1];
  if (path.size() > at + 2) attributes.subresource = path[at + 2];
  attributes.verb = ResourceVerb(request, !attributes.name.empty());
  return attributes;
}

}  // namespace

ApiHandler::ApiHandler(ApiHandlerParts parts, ApiHandlerOptions options, uint64_t seed)
    : parts_(parts),
      options_(std::move(options)),
      started_ns_(parts.clock->MonotonicNanos()),
      probe_(parts.metrics),
      external_(parts.registry, {options_.strict_compat,
                                 [this](const std::string& reason) { probe_.Failed(reason); }}),
      rng_(seed) {}

std::string ApiHandler::NewAuditId() {
  uint64_t high, low;
  {
    MutexLock lock(&mu_);
    high = rng_.Next();
    low = rng_.Next();
  }
  // UUID version 4, variant 1.
  high = (high & ~0xF000ull) | 0x4000ull;
  low = (low & ~(3ull << 62)) | (2ull << 62);
  return absl::StrFormat("%08x-%04x-%04x-%04x-%012x", high >> 32, (high >> 16) & 0xFFFF,
                         high & 0xFFFF, low >> 48, low & 0xFFFFFFFFFFFFull);
}

HttpResponse ApiHandler::ServerError(int status, absl::string_view message) {
  ApiStatus error{status, "", std::string(message), {}};
  if (status == 400) error.reason = "BadRequest";
  if (status == 413) error.reason = "RequestEntityTooLarge";
  return JsonAnswer(status, StatusObject(error), /*pretty=*/false);
}

void ApiHandler::AddCommonHeaders(absl::string_view audit_id, HttpResponse* response) {
  response->headers.emplace_back(
      "Audit-Id", audit_id.empty() ? NewAuditId() : std::string(audit_id.substr(0, 128)));
  response->headers.emplace_back("Cache-Control", "no-cache, private");
}

HttpResponse ApiHandler::Refuse(int status, absl::string_view message) {
  HttpResponse response = ServerError(status, message);
  AddCommonHeaders("", &response);
  return response;
}

HttpResponse ApiHandler::Handle(const HttpRequest& request) {
  const int64_t start_ns = parts_.clock->MonotonicNanos();
  Call call{request, {}, WantsPretty(request), absl::InfiniteDuration(), "other", ""};
  HttpResponse response = Dispatch(&call);
  AddCommonHeaders(request.Header("Audit-Id"), &response);
  const int64_t taken_ns = parts_.clock->MonotonicNanos() - start_ns;
  probe_.Answered(call.api, response.status, static_cast<double>(taken_ns) / 1e9);
  if (response.status >= 500) {
    Log(LogLevel::kWarning, "adapter_request_failed",
        {{"path", request.RawPath().substr(0, 256)},
         {"status", absl::StrCat(response.status)},
         {"cause", call.cause}});
  }
  return response;
}

HttpResponse ApiHandler::Dispatch(Call* call) {
  const HttpRequest& request = call->request;
  for (const std::string& segment : request.path) {
    std::string decoded;
    if (!PercentDecode(segment, /*plus=*/false, &decoded))
      return call->Error(BadRequest(absl::StrCat("invalid URL escape in ", GoQuote(segment))));
    call->path.push_back(std::move(decoded));
  }
  // A slash at the end is tolerated; the root is nothing but one.
  if (!call->path.empty() && call->path.back().empty()) call->path.pop_back();
  call->api = ApiOf(call->path);
  const RequestAttributes attributes = AttributesOf(request, call->path);
  if (!parts_.authorizer->AllowsAnyone(attributes)) {
    if (std::optional<HttpResponse> refused = Refusal(attributes, call); refused.has_value())
      return *std::move(refused);
  }
  if (IsHealth(call->path)) return IsGet(request) ? Health(*call) : call->Error(MethodNotAllowed());

  if (const absl::string_view text = request.Query("timeout"); !text.empty()) {
    const absl::StatusOr<absl::Duration> timeout = ParseGoDuration(text);
    if (!timeout.ok()) {
      return call->Error(BadRequest(absl::StrCat("invalid timeout specified in the request URL - ",
                                                 timeout.status().message())));
    }
    // 0 asks for none: ours stays.
    if (*timeout > absl::ZeroDuration()) call->timeout_asked = std::min(*timeout, kTimeoutMax);
  }
  return Routed(call);
}

std::optional<HttpResponse> ApiHandler::Refusal(const RequestAttributes& attributes, Call* call) {
  const absl::StatusOr<UserInfo> user = parts_.authenticator->Authenticate(call->request);
  if (!user.ok()) {
    Log(LogLevel::kDebug, "adapter_unauthorized", {{"cause", std::string(user.status().message())}});
    return call->Error(Unauthorized());
  }
  const auto judged = Impersonate(call->request, *user, parts_.authorizer);
  if (const auto* refusal = std::get_if<ApiStatus>(&judged)) return call->Error(*refusal);
  const UserInfo& as = std::get<UserInfo>(judged);
  const absl::Status allowed = parts_.authorizer->Authorize(as, attributes);
  if (absl::IsPermissionDenied(allowed))
    return call->Error(ForbiddenStatus(as, attributes, allowed.message()));
  if (allowed.ok()) return std::nullopt;
  // As a Status, so that people see the cause in the HPA's events.
  return call->Error(AuthorizationFailed(call->request.target, allowed.message()));
}

HttpResponse ApiHandler::Routed(Call* call) {
  const std::vector<std::string>& path = call->path;
  const bool one = path.size() == 1;
  const bool served =
      path.empty() ||
      (one && (path[0] == "version" || path[0] == "metrics" || path[0] == "apis")) ||
      (path[0] == "openapi" && path.size() == 2 && (path[1] == "v2" || path[1] == "v3")) ||
      (path[0] == "apis" && path.size() == 2 && !ApiGroups().empty() &&
       std::any_of(ApiGroups().begin(), ApiGroups().end(),
                   [&](const ApiGroupInfo& g) { return g.name == path[1]; })) ||
      (path[0] == "apis" && path.size() > 2 && HasVersion(path[1], path[2]));
  if (!served) return call->Answer(404, RootPaths());
  if (!IsGet(call->request)) return call->Error(MethodNotAllowed());
  if (path.empty()) return call->Answer(200, RootPaths());
  if (path[0] == "version") return Version();
  if (path[0] == "metrics") return OwnMetrics();
  if (path[0] == "openapi")
    return call->Answer(200, path[1] == "v2" ? OpenApiV2(options_.version) : OpenApiV3());
  return Apis(call);
}

HttpResponse ApiHandler::Apis(Call* call) {
  if (call->path.size() == 1) return ApiRoot(call);
  const Negotiated negotiated =
      NegotiateAccept(call->request.Header("Accept"), /*aggregated=*/false);
  if (negotiated.kind == Negotiated::Kind::kNotAcceptable) return call->Error(NotAcceptable());
  if (call->path.size() == 2) {
    for (const ApiGroupInfo& group : ApiGroups()) {
      if (group.name == call->path[1]) return call->Answer(200, ApiGroup(group));
    }
  }
  if (call->path.size() == 3) {
    // Instant, and independent of every source: it is what availability is judged by.
    std::vector<ApiResource> resources;
    if (call->path[1] == kExternalGroup) {
      for (const std::string& metric : parts_.registry->Metrics())
        resources.push_back(ExternalResource(metric));
    }
    return call->Answer(200, ApiResourceList(call->path[1], call->path[2], std::move(resources)));
  }
  return Versioned(call);
}

HttpResponse ApiHandler::ApiRoot(Call* call) {
  const Negotiated negotiated =
      NegotiateAccept(call->request.Header("Accept"), /*aggregated=*/true);
  if (negotiated.kind == Negotiated::Kind::kNotAcceptable) return call->Error(NotAcceptable());
  if (negotiated.kind == Negotiated::Kind::kJson) {
    const absl::string_view address =
        options_.server_address.empty() ? call->request.Header("Host") : options_.server_address;
    HttpResponse response = call->Answer(200, ApiGroupList(address));
    response.headers.emplace_back("Vary", "Accept");
    return response;
  }
  HttpResponse response = call->Answer(200, AggregatedDiscovery(negotiated.version));
  const std::string etag = DiscoveryEtag(response.body);
  if (call->request.Header("If-None-Match") == etag) {
    response.status = 304;
    response.body.clear();
  }
  response.content_type = absl::StrCat(
      "application/json;g=apidiscovery.k8s.io;v=", negotiated.version, ";as=APIGroupDiscoveryList");
  response.headers.emplace_back("ETag", etag);
  response.headers.emplace_back("Vary", "Accept");
  return response;
}

HttpResponse ApiHandler::Versioned(Call* call) {
  if (call->path[1] == kExternalGroup) return External(call);
  if (call->path[1] == kCustomGroup) return Custom(call);
  return call->Error(NoRoute());
}

HttpResponse ApiHandler::External(Call* call) {
  // /apis/GROUP/VERSION/namespaces/NS/METRIC
  const std::vector<std::string>& path = call->path;
  if (path.size() != 6 || path[3] != "namespaces") return call->Error(NoRoute());
  const std::string& name_space = path[4];
  const std::string& metric = path[5];
  const HttpRequest& request = call->request;
  if (ParsesTrue(request.Query("watch")))
    return call->Error(WatchNotSupported(kExternalGroup, absl::StrCat("*.", kExternalGroup)));
  if (const auto bad = CheckFieldSelector(request.Query("fieldSelector")); bad.has_value())
    return call->Error(*bad);
  const absl::StatusOr<std::vector<Requirement>> selector =
      ParseSelector(request.Query("labelSelector"));
  if (!selector.ok()) return call->Error(BadRequest(selector.status().message()));
  const absl::Time now = absl::FromUnixMillis(parts_.clock->NowMs());
  const auto values = external_.Values(metric, name_space, *selector, now, options_.query_timeout,
                                       call->timeout_asked);
  if (const auto* error = std::get_if<ApiStatus>(&values)) return call->Error(*error);
  int dropped = 0;
  const Json list = ExternalMetricValueList(
      std::get<ExternalValues>(values), &dropped,
      options_.strict_compat ? UnfitValues::kAsPrometheusAdapter : UnfitValues::kLeaveOut);
  if (dropped > 0) probe_.ValuesDropped(dropped);
  return call->Answer(200, list);
}

// No rule is served yet, so every metric of a well-formed path is one that is not registered.
HttpResponse ApiHandler::Custom(Call* call) {
  const std::vector<std::string> rest(call->path.begin() + 3, call->path.end());
  const bool namespaced = rest[0] == "namespaces";
  if (namespaced && rest.size() == 3) return call->Error(BadRequest("invalid request path"));
  const bool object = (namespaced && rest.size() == 5) || (!namespaced && rest.size() == 3);
  const bool of_namespace = namespaced && rest.size() == 4 && rest[2] == "metrics";
  if (!object && !of_namespace) return call->Error(NoRoute());
  for (const char* name : {"labelSelector", "metricLabelSelector"}) {
    const auto selector = ParseSelector(call->request.Query(name));
    if (selector.ok()) continue;
    ApiStatus bad = BadRequest(selector.status().message());
    if (options_.strict_compat && absl::string_view(name) == "metricLabelSelector")
      bad = {500, "", bad.message, {}};
    return call->Error(bad);
  }
  const std::string& resource = of_namespace ? rest[0] : namespaced ? rest[2] : rest[0];
  return call->Error(CustomMetricNotFound(rest.back(), resource, "*"));
}

HttpResponse ApiHandler::Health(const Call& call) {
  const std::string& kind = call.path[0];
  std::vector<std::pair<std::string, bool>> checks = {{"ping", true}};
  if (kind == "readyz") {
    const absl::Duration up = absl::Nanoseconds(parts_.clock->MonotonicNanos() - started_ns_);
    checks.emplace_back("rules", parts_.registry->listed() || up >= options_.ready_wait_max);
    checks.emplace_back("shutdown", !shutting_down_.load(std::memory_order_relaxed));
  }
  if (call.path.size() > 1) {
    const auto check = std::find_if(checks.begin(), checks.end(),
                                    [&](const auto& c) { return c.first == call.path[1]; });
    if (check == checks.end() || call.path.size() > 2) return call.Answer(404, RootPaths());
    checks = {*check};
  }
  const bool ok = std::all_of(checks.begin(), checks.end(), [](const auto& c) { return c.second; });
  if (ok && !call.request.HasQuery("verbose")) return TextResponse(200, "ok");
  std::string body;
  for (const auto& [name, passed] : checks)
    absl::StrAppend(&body, passed ? "[+]" : "[-]", name,
                    passed ? " ok\n" : " failed: reason withheld\n");
  absl::StrAppend(&body, kind, ok ? " check passed\n" : " check failed\n");
  return TextResponse(ok ? 200 : 500, std::move(body));
}

HttpResponse ApiHandler::OwnMetrics() {
  RefreshGauges();
  HttpResponse response = TextResponse(200, OwnMetricsText(*parts_.metrics, "wheelpit_adapter_"));
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return response;
}

HttpResponse ApiHandler::Version() {
  Json version;
  version["major"] = "1";
  version["minor"] = "0";
  version["gitVersion"] = options_.version;
  for (const char* name :
       {"gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"})
    version[name] = "";
  return JsonAnswer(200, version, /*pretty=*/true);
}

}  // namespace wheelpit::adapter
