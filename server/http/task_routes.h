// The queue over HTTP: /v1/queues/{queue}/tasks, /v1/tasks/{id}, /v1/tasks/{id}/result.
#pragma once

#include <atomic>

#include "absl/status/statusor.h"
#include "base/http/http_types.h"
#include "base/http/router.h"
#include "server/http/http_backend.h"

namespace wheelpit {

// From the body, Idempotency-Key, Content-Type, traceparent and the X-Task-* headers: Priority, Delay (30s), Not-Before-Ms,
// Expire-At-Ms, Lease-TTL (30s), Attempt-Timeout (1h), Max-Attempts, Max-Losses, Fairness-Key, Attribute (name=value, repeatable).
// kInvalidArgument BAD_FIELD names the header.
absl::StatusOr<TaskSpec> TaskSpecFromRequest(const HttpRequest& request, absl::string_view queue);

// proto3 JSON of wheelpit.v1.Task, names as in the proto file.
std::string TaskJson(TaskView task);

// Thread-safe.
class TaskRoutes {
 public:
  // `backend` outlives it. `waits_max`: requests with ?wait= that may hold a thread at once; more are refused (429 TOO_MANY_WAITS).
  TaskRoutes(HttpBackend* backend, size_t waits_max) : backend_(backend), waits_max_(waits_max) {}

  HttpResponse Submit(const HttpRequest& request, absl::string_view queue);
  // ?wait=30s: when the task is terminal, or as it is then.
  HttpResponse Get(const HttpRequest& request, absl::string_view id);
  // ?force=1: takes it from a running worker at once.
  HttpResponse Cancel(const HttpRequest& request, absl::string_view id);
  // The raw bytes; 409 NO_RESULT unless the task succeeded. ?wait= as Get.
  HttpResponse Result(const HttpRequest& request, absl::string_view id);

 private:
  absl::StatusOr<TaskView> Find(const HttpRequest& request, absl::string_view id, bool with_result);

  HttpBackend* const backend_;
  const size_t waits_max_;
  std::atomic<size_t> waits_{0};  // relaxed: a count
};

}  // namespace wheelpit
