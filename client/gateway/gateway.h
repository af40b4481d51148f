// The HTTP gateway: a route maps a path to a counter and, maybe, a queue. POST to a route with a queue submits the body as a task
// that carries the count; to one without, it counts. Either is answered when it is durable; what is refused counts nothing.
//
//   auto gateway = Gateway::Create(*ParseRoutes(text), {{"namespace", "shop"}, {"pod", "web-1"}}, &backend);   // StatusOr
//   (*gateway)->AddTo(&router);
//
// Pure logic over a backend: the server's own queue, or the SDK in an app's pod.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/http/http_types.h"
#include "base/http/router.h"

namespace wheelpit {

struct GatewayRoute {
  std::string path;     // begins with `/`
  std::string counter;  // a counter family; ends in _total
  std::string queue;    // empty = only count
  int status = 200;     // of the answer when it went well
  std::string message;  // shown in it
};

// A YAML list of routes: `[{path: /heavywork, counter: heavywork_requests_total, queue: heavywork, status: 202, message: …}]`.
// kInvalidArgument names the route and what is wrong.
absl::StatusOr<std::vector<GatewayRoute>> ParseRoutes(absl::string_view yaml);

using GatewayLabels = std::vector<std::pair<std::string, std::string>>;

struct GatewayTask {
  std::string queue;
  std::string payload;
  std::string content_type;
  std::string idempotency_key;
  std::string counter;  // counted by one with the task
  GatewayLabels labels;
};

// Thread-safe; calls block until the outcome is known.
class GatewayBackend {
 public:
  virtual ~GatewayBackend() = default;
  // The task's id once it is durable.
  virtual absl::StatusOr<std::string> Submit(GatewayTask task) = 0;
  // OK once the increment is durable.
  virtual absl::Status Count(const std::string& counter, const GatewayLabels& labels) = 0;
};

// Thread-safe.
class Gateway {
 public:
  // `backend` outlives the gateway. kInvalidArgument: two routes with one path.
  static absl::StatusOr<std::unique_ptr<Gateway>> Create(std::vector<GatewayRoute> routes, GatewayLabels labels, GatewayBackend* backend);

  void AddTo(HttpRouter* router) const;
  HttpResponse Handle(const GatewayRoute& route, const HttpRequest& request) const;
  // Each counter once: the series to declare at start, with labels().
  std::vector<std::string> counters() const;
  const GatewayLabels& labels() const { return labels_; }

 private:
  Gateway(std::vector<GatewayRoute> routes, GatewayLabels labels, GatewayBackend* backend);
  const std::vector<GatewayRoute> routes_;
  const GatewayLabels labels_;
  GatewayBackend* const backend_;
};

// `namespace` and `pod` as Kubernetes tells them, else `default` and the host's name.
GatewayLabels GatewayLabelsFrom(absl::string_view pod_namespace, absl::string_view pod_name, absl::string_view host_name);

}  // namespace wheelpit
