#include "adapter/api/api_status.h"

#include "absl/strings/str_cat.h"
#include "adapter/naming/go_text.h"

namespace wheelpit::adapter {
namespace {

std::string Because(absl::string_view reason) {
  return reason.empty() ? "" : absl::StrCat(": ", reason);
}

}  // namespace

Json StatusObject(const ApiStatus& status) {
  Json object;
  object["kind"] = "Status";
  object["apiVersion"] = "v1";
  object["metadata"] = Json::object();
  object["status"] = "Failure";
  object["message"] = status.message;
  if (!status.reason.empty()) object["reason"] = status.reason;
  if (status.details.has_value()) object["details"] = *status.details;
  object["code"] = status.code;
  return object;
}

ApiStatus ExternalMetricNotFound(absl::string_view metric, absl::string_view name_space) {
  return {404,
          "NotFound",
          absl::StrCat("the server could not find the metric ", metric, " for ",
                       name_space == "default" ? "namespaces" : ""),
          {}};
}

ApiStatus CustomMetricNotFound(absl::string_view metric, absl::string_view resource,
                               absl::string_view name) {
  return {404,
          "NotFound",
          absl::StrCat("the server could not find the metric ", metric, " for ", resource,
                       name == "*" ? "" : " ", name == "*" ? "" : name),
          {}};
}

ApiStatus InternalError(absl::string_view cause) {
  Json details;
  details["causes"] = Json::array({Json{{"message", std::string(cause)}}});
  return {500, "InternalError", absl::StrCat("Internal error occurred: ", cause), details};
}

ApiStatus BadRequest(absl::string_view message) {
  return {400, "BadRequest", std::string(message), {}};
}

ApiStatus MethodNotAllowed() {
  return {405, "MethodNotAllowed",
          "the server does not allow this method on the requested resource", Json::object()};
}

ApiStatus WatchNotSupported(absl::string_view group, absl::string_view kind) {
  Json details;
  details["group"] = std::string(group);
  details["kind"] = "*";
  return {405, "MethodNotAllowed",
          absl::StrCat("watch is not supported on resources of kind ", GoQuote(kind)), details};
}

ApiStatus NoRoute() {
  return {404, "NotFound", "the server could not find the requested resource", Json::object()};
}

ApiStatus NotAcceptable() {
  return {
      406, "NotAcceptable", "only the following media types are accepted: application/json", {}};
}

ApiStatus Unauthorized() { return {401, "Unauthorized", "Unauthorized", {}}; }

ApiStatus RequestTimeout() {
  return {504, "Timeout", "Timeout: request did not complete within the allotted timeout",
          Json::object()};
}

ApiStatus AuthorizationFailed(absl::string_view target, absl::string_view cause) {
  return {500, "InternalError",
          absl::StrCat("Internal Server Error: ", GoQuote(target), ": ", cause), Json::object()};
}

ApiStatus ForbiddenResource(absl::string_view user, absl::string_view verb,
                            const ForbiddenTarget& target, absl::string_view reason) {
  Json details;
  if (!target.name.empty()) details["name"] = target.name;
  if (!target.group.empty()) details["group"] = target.group;
  details["kind"] = target.resource;
  const std::string resource =
      target.subresource.empty() ? target.resource
                                 : absl::StrCat(target.resource, "/", target.subresource);
  return {403, "Forbidden",
          absl::StrCat(target.resource, target.group.empty() ? "" : ".", target.group,
                       target.name.empty() ? "" : " ",
                       target.name.empty() ? "" : GoQuote(target.name), " is forbidden: User ",
                       GoQuote(user), " cannot ", verb, " resource ", GoQuote(resource),
                       " in API group ", GoQuote(target.group),
                       target.name_space.empty()
                           ? " at the cluster scope"
                           : absl::StrCat(" in the namespace ", GoQuote(target.name_space)),
                       Because(reason)),
          details};
}

ApiStatus ForbiddenPath(absl::string_view user, absl::string_view verb, absl::string_view path,
                        absl::string_view reason) {
  return {403, "Forbidden",
          absl::StrCat("forbidden: User ", GoQuote(user), " cannot ", verb, " path ", GoQuote(path),
                       Because(reason)),
          Json::object()};
}

}  // namespace wheelpit::adapter
