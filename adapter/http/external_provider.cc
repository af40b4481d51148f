#include "adapter/http/external_provider.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapter/rules/query.h"
#include "base/errors.h"
#include "base/log.h"

namespace wheelpit::adapter {
// The cause as people read it in the HPA's events.
ApiStatus ExternalProvider::Failure(absl::string_view metric, absl::string_view rule,
                                    const absl::Status& status) const {
  const std::string reason = ErrorReason(status);
  const std::string cause = absl::StrCat(
      "unable to fetch metric ", metric, rule.empty() ? "" : " (rule ", rule,
      rule.empty() ? ": " : "): ", reason, reason.empty() ? "" : ": ", status.message());
  if (options_.failed != nullptr) options_.failed(reason);
  if (!options_.strict_compat) return InternalError(cause);
  Log(LogLevel::kWarning, "adapter_metric_failed", {{"cause", cause}});
  return InternalError("unable to fetch metrics");
}

std::variant<ExternalValues, ApiStatus> ExternalProvider::Values(
    absl::string_view metric, absl::string_view name_space,
    const std::vector<Requirement>& selector, absl::Time now, absl::Duration timeout,
    absl::Duration asked) {
  absl::StatusOr<Registry::Found> found = registry_.Find(metric, now);
  if (absl::IsNotFound(found.status())) return ExternalMetricNotFound(metric, name_space);
  if (!found.ok()) return Failure(metric, "", found.status());
  const Rule& rule = *found->rule;
  absl::StatusOr<std::string> query = ExternalQuery(rule, found->series_name, name_space, selector);
  if (!query.ok()) return Failure(metric, rule.id, query.status());
  const absl::Duration ours = std::min(timeout, found->source->timeout_max());
  absl::StatusOr<SourceResult> result =
      found->source->Query(*query, absl::InfinitePast(), std::min(ours, asked));
  if (LogEnabled(LogLevel::kDebug)) {
    Log(LogLevel::kDebug, "adapter_query",
        {{"source", std::string(found->source->name())}, {"rule", rule.id}, {"promql", *query},
         {"result", result.ok() ? absl::StrCat(result->elements.size(), " elements")
                                : std::string(result.status().message())}});
  }
  if (absl::IsDeadlineExceeded(result.status()) && asked < ours) return RequestTimeout();
  if (!result.ok()) return Failure(metric, rule.id, result.status());
  ExternalValues values{std::string(metric), result->evaluated_at, {}};
  for (SourceElement& element : result->elements) {
    values.values.push_back({std::move(element.labels), !result->is_scalar, element.value});
  }
  return values;
}

}  // namespace wheelpit::adapter
