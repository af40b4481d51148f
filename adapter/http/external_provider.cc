#include "adapter/http/external_provider.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapter/rules/query.h"
#include "base/errors.h"

namespace wheelpit::adapter {
namespace {

// The cause as people read it in the HPA's events.
std::string Cause(absl::string_view metric, absl::string_view rule, const absl::Status& status) {
  const std::string reason = ErrorReason(status);
  return absl::StrCat("unable to fetch metric ", metric, " (rule ", rule,
                      "): ", reason.empty() ? "" : absl::StrCat(reason, ": "), status.message());
}

}  // namespace

std::variant<ExternalValues, ApiStatus> ExternalProvider::Values(
    absl::string_view metric, absl::string_view name_space,
    const std::vector<Requirement>& selector, absl::Time now, absl::Duration timeout,
    absl::Duration asked) {
  absl::StatusOr<Registry::Found> found = registry_.Find(metric, now);
  if (absl::IsNotFound(found.status())) return ExternalMetricNotFound(metric, name_space);
  if (!found.ok()) {
    const std::string reason = ErrorReason(found.status());
    return InternalError(absl::StrCat("unable to fetch metric ", metric, ": ",
                                      reason.empty() ? "" : absl::StrCat(reason, ": "),
                                      found.status().message()));
  }
  const Rule& rule = *found->rule;
  absl::StatusOr<std::string> query = ExternalQuery(rule, found->series_name, name_space, selector);
  if (!query.ok()) return InternalError(Cause(metric, rule.id, query.status()));
  const absl::Duration ours = std::min(timeout, found->source->timeout_max());
  absl::StatusOr<SourceResult> result =
      found->source->Query(*query, absl::InfinitePast(), std::min(ours, asked));
  if (absl::IsDeadlineExceeded(result.status()) && asked < ours) return RequestTimeout();
  if (!result.ok()) return InternalError(Cause(metric, rule.id, result.status()));
  ExternalValues values{std::string(metric), result->evaluated_at, {}};
  for (SourceElement& element : result->elements) {
    values.values.push_back({std::move(element.labels), !result->is_scalar, element.value});
  }
  return values;
}

}  // namespace wheelpit::adapter
