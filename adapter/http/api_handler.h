// The HTTP surface of the metrics APIs as a function from request to response: who asks, may they,
// what do they want.
//
// Thread-safe; may block for a source's answer.
//
//   ApiHandler handler(parts, options);
//   HttpServer::Start(server_options, [&](const HttpRequest& request) { return
//   handler.Handle(request); }, …);
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "adapter/api/api_status.h"
#include "adapter/http/auth.h"
#include "adapter/http/external_provider.h"
#include "adapter/http/probe.h"
#include "adapter/http/registry.h"
#include "base/clock.h"
#include "base/http/http_types.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/sync.h"

namespace wheelpit::adapter {

struct ApiHandlerOptions {
  // host:port, as discovery shows it; empty = the Host that the client asked for.
  std::string server_address;
  // Of one question to a source; `?timeout=` may only shorten it.
  absl::Duration query_timeout = absl::Seconds(10);
  // /readyz waits at most so long for the first listing of all rules.
  absl::Duration ready_wait_max = absl::Seconds(30);
  std::string version;
  // Answers as prometheus-adapter gives them where ours are better: NaN, ±Inf and negative values,
  // errors without a cause, 500 for a bad metricLabelSelector.
  bool strict_compat = false;
};

// All outlive the handler.
struct ApiHandlerParts {
  Registry* registry = nullptr;
  Authenticator* authenticator = nullptr;
  Authorizer* authorizer = nullptr;
  MetricRegistry* metrics = nullptr;
  const Clock* clock = nullptr;
};

class ApiHandler {
 public:
  ApiHandler(ApiHandlerParts parts, ApiHandlerOptions options, uint64_t seed);

  HttpResponse Handle(const HttpRequest& request);
  // What the server answers by itself, as a Status; Refuse with the headers that every answer has.
  static HttpResponse ServerError(int status, absl::string_view message);
  HttpResponse Refuse(int status, absl::string_view message);
  // Own metrics that are states, not counts.
  void RefreshGauges() { probe_.SetRules(*parts_.registry); }
  // From now on /readyz fails; everything else goes on.
  void BeginShutdown() { shutting_down_.store(true, std::memory_order_relaxed); }

 private:
  // The request, read once.
  struct Call;
  HttpResponse Dispatch(Call* call);
  // The answer to one who may not do this; nothing if they may.
  std::optional<HttpResponse> Refusal(const RequestAttributes& attributes, Call* call);
  HttpResponse Routed(Call* call);
  HttpResponse Apis(Call* call);
  HttpResponse Versioned(Call* call);
  HttpResponse External(Call* call);
  HttpResponse Custom(Call* call);
  HttpResponse ApiRoot(Call* call);
  HttpResponse Health(const Call& call);
  HttpResponse OwnMetrics();
  HttpResponse Version();
  std::string NewAuditId();
  void AddCommonHeaders(absl::string_view audit_id, HttpResponse* response);

  const ApiHandlerParts parts_;
  const ApiHandlerOptions options_;
  const int64_t started_ns_;
  AdapterProbe probe_;
  ExternalProvider external_;
  // Relaxed: a probe may see it one request late.
  std::atomic<bool> shutting_down_{false};
  Mutex mu_;
  Rng rng_ ABSL_GUARDED_BY(mu_);
};

}  // namespace wheelpit::adapter
