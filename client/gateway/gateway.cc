#include "client/gateway/gateway.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/http/error_response.h"
#include "base/status_macros.h"
#include "yaml-cpp/yaml.h"

namespace wheelpit {
namespace {

absl::Status Bad(size_t route, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("routes: route ", route + 1, ": ", what));
}

absl::Status SetField(const std::string& key, const YAML::Node& value, size_t index, GatewayRoute* route) {
  if (!value.IsScalar()) return Bad(index, absl::StrCat(Quoted(key), " must be a plain value"));
  if (key == "path") {
    route->path = value.Scalar();
  } else if (key == "counter") {
    route->counter = value.Scalar();
  } else if (key == "queue") {
    route->queue = value.Scalar();
  } else if (key == "message") {
    route->message = value.Scalar();
  } else if (key == "status") {
    route->status = value.as<int>();
  } else {
    return Bad(index, absl::StrCat("unknown key ", Quoted(key), ": must be path, counter, queue, status or message"));
  }
  return absl::OkStatus();
}

absl::Status Check(const GatewayRoute& route, size_t index) {
  if (!absl::StartsWith(route.path, "/") || absl::StrContains(route.path, "{") || absl::StrContains(route.path, "?")) {
    return Bad(index, absl::StrCat("path ", Quoted(route.path), " must begin with / and be literal"));
  }
  if (route.counter.empty()) return Bad(index, absl::StrCat("counter of ", Quoted(route.path), " is missing"));
  if (absl::StartsWith(route.counter, "wheelpit_")) return Bad(index, "counter names that begin with wheelpit_ are the server's own");
  if (route.status < 200 || route.status > 299) return Bad(index, absl::StrCat("status ", route.status, " must be 200 to 299"));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<GatewayRoute>> RoutesFromNode(const YAML::Node& list) {
  std::vector<GatewayRoute> routes;
  if (!list.IsDefined() || list.IsNull()) return routes;
  if (!list.IsSequence()) return absl::InvalidArgumentError("routes: must be a list");
  for (const YAML::Node& node : list) {
    if (!node.IsMap()) return Bad(routes.size(), "must be a map");
    GatewayRoute route;
    for (const auto& entry : node) WHEELPIT_RETURN_IF_ERROR(SetField(entry.first.Scalar(), entry.second, routes.size(), &route));
    WHEELPIT_RETURN_IF_ERROR(Check(route, routes.size()));
    routes.push_back(std::move(route));
  }
  return routes;
}

}  // namespace

absl::StatusOr<std::vector<GatewayRoute>> ParseRoutes(absl::string_view yaml) {
  try {
    return RoutesFromNode(YAML::Load(std::string(yaml)));
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(absl::StrCat("routes: ", e.what()));
  }
}

absl::StatusOr<std::unique_ptr<Gateway>> Gateway::Create(std::vector<GatewayRoute> routes, GatewayLabels labels, GatewayBackend* backend) {
  for (size_t i = 0; i < routes.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (routes[i].path == routes[j].path) return Bad(i, absl::StrCat("path ", Quoted(routes[i].path), " is taken by route ", j + 1));
    }
  }
  return std::unique_ptr<Gateway>(new Gateway(std::move(routes), std::move(labels), backend));
}

Gateway::Gateway(std::vector<GatewayRoute> routes, GatewayLabels labels, GatewayBackend* backend)
    : routes_(std::move(routes)), labels_(std::move(labels)), backend_(backend) {}

void Gateway::AddTo(HttpRouter* router) const {
  for (const GatewayRoute& route : routes_) {
    router->Add("POST", route.path, [this, &route](const HttpRequest& request, const PathParts&) { return Handle(route, request); });
  }
}

HttpResponse Gateway::Handle(const GatewayRoute& route, const HttpRequest& request) const {
  if (route.queue.empty()) {
    if (absl::Status status = backend_->Count(route.counter, labels_); !status.ok()) return ErrorJsonResponse(status);
    return JsonResponse(route.status, absl::StrCat("{\"message\": ", JsonQuoted(route.message), "}\n"));
  }
  GatewayTask task;
  task.queue = route.queue;
  task.payload = request.body;
  task.content_type = std::string(request.Header("Content-Type"));
  task.idempotency_key = std::string(request.Header("Idempotency-Key"));
  task.counter = route.counter;
  task.labels = labels_;
  const absl::StatusOr<std::string> id = backend_->Submit(std::move(task));
  if (!id.ok()) return ErrorJsonResponse(id.status());
  HttpResponse response = JsonResponse(
      route.status, absl::StrCat("{\"message\": ", JsonQuoted(route.message), ", \"id\": ", JsonQuoted(*id), "}\n"));
  response.headers.emplace_back("Location", absl::StrCat("/v1/tasks/", *id));
  return response;
}

std::vector<std::string> Gateway::counters() const {
  std::vector<std::string> counters;
  for (const GatewayRoute& route : routes_) {
    if (std::find(counters.begin(), counters.end(), route.counter) == counters.end()) counters.push_back(route.counter);
  }
  return counters;
}

GatewayLabels GatewayLabelsFrom(absl::string_view pod_namespace, absl::string_view pod_name, absl::string_view host_name) {
  return {{"namespace", std::string(pod_namespace.empty() ? "default" : pod_namespace)},
          {"pod", std::string(pod_name.empty() ? host_name : pod_name)}};
}

}  // namespace wheelpit
