// Calls to a Kubernetes API server: JSON in, JSON out.
//
// Thread-safe; calls block. They may be sent twice when a kept connection breaks.
//
// Errors: what HttpClient gives (kUnavailable, kDeadlineExceeded, kCancelled, kInternal) when there
// was no answer; for answers other than 2xx by status: 401 kUnauthenticated, 403 kPermissionDenied,
// 404 kNotFound, 410 kOutOfRange, 429 and 5xx kUnavailable, others kInvalidArgument, with the
// server's own message.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "adapter/kube/kube_config.h"
#include "base/clock.h"
#include "nlohmann/json.hpp"

namespace wheelpit::adapter {

class KubeClient {
 public:
  virtual ~KubeClient() = default;

  virtual absl::StatusOr<nlohmann::json> Get(absl::string_view target, absl::Duration timeout) = 0;
  virtual absl::StatusOr<nlohmann::json> Post(absl::string_view target, const nlohmann::json& body,
                                              absl::Duration timeout) = 0;
  // Calls `on_event` for each watch event until it returns an error, which is returned, the server
  // ends the watch (OK), or `timeout` has passed.
  virtual absl::Status Watch(
      absl::string_view target, absl::Duration timeout,
      absl::FunctionRef<absl::Status(const nlohmann::json& event)> on_event) = 0;
  // Ends calls at work and refuses later ones.
  virtual void Cancel() = 0;
};

// kInvalidArgument: the configuration is bad. `clock` outlives it.
absl::StatusOr<std::unique_ptr<KubeClient>> NewKubeClient(const KubeConfig& config,
                                                          const Clock* clock);

// The status that an answer of that HTTP status and body stands for.
absl::Status KubeError(int http_status, absl::string_view body);

}  // namespace wheelpit::adapter
