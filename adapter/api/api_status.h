// Errors as Kubernetes Status objects, with the codes, reasons and texts that clients and people
// know. Pure.
//
//   return MetricNotFound("queue_depth", "shop");
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "adapter/api/json_text.h"

namespace wheelpit::adapter {

struct ApiStatus {
  int code = 500;
  // Left out where empty.
  std::string reason;
  std::string message;
  // Left out where not set; may be an empty object.
  std::optional<Json> details;
};

Json StatusObject(const ApiStatus& status);

// No such external metric. Kubernetes' way of naming what was asked for ends in a blank, or in
// `namespaces` for the default one.
ApiStatus ExternalMetricNotFound(absl::string_view metric, absl::string_view name_space);
// No such custom metric for `resource` (as in the URL), or for the object `name` of it if not `*`.
ApiStatus CustomMetricNotFound(absl::string_view metric, absl::string_view resource,
                               absl::string_view name);
// A failure on our side; `cause` is for people: it ends up in the HPA's events.
ApiStatus InternalError(absl::string_view cause);
ApiStatus BadRequest(absl::string_view message);
ApiStatus MethodNotAllowed();
// `kind` such as `*.external.metrics.k8s.io`.
ApiStatus WatchNotSupported(absl::string_view group, absl::string_view kind);
ApiStatus NoRoute();
ApiStatus NotAcceptable();
ApiStatus Unauthorized();
ApiStatus RequestTimeout();
// Whether the request is allowed could not be found out.
ApiStatus AuthorizationFailed(absl::string_view target, absl::string_view cause);
// What of a resource is forbidden, in RBAC's words; empty where it is not said.
struct ForbiddenTarget {
  std::string group, resource, subresource, name, name_space;
};
ApiStatus ForbiddenResource(absl::string_view user, absl::string_view verb,
                            const ForbiddenTarget& target, absl::string_view reason);
// `verb` is the lower-case HTTP method.
ApiStatus ForbiddenPath(absl::string_view user, absl::string_view verb, absl::string_view path,
                        absl::string_view reason);

}  // namespace wheelpit::adapter
