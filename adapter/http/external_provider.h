// The values of external metrics: rule, query, source, answer.
//
// Thread-safe; blocks for the source's answer.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "adapter/api/api_status.h"
#include "adapter/api/external_metrics.h"
#include "adapter/http/registry.h"
#include "adapter/naming/selector.h"

namespace wheelpit::adapter {

class ExternalProvider {
 public:
  // `registry` outlives it. `strict_compat`: failures have prometheus-adapter's words, the cause is in
  // the log only.
  explicit ExternalProvider(Registry* registry, bool strict_compat = false)
      : registry_(*registry), strict_compat_(strict_compat) {}

  // `now` is for remembering names that are not there; the source evaluates at its own now. An
  // empty result is an answer without items; unknown, unreachable, silent and broken ones are 500
  // with their cause, and 504 if the time that was `asked` for runs out before ours, `timeout`.
  std::variant<ExternalValues, ApiStatus> Values(absl::string_view metric,
                                                 absl::string_view name_space,
                                                 const std::vector<Requirement>& selector,
                                                 absl::Time now, absl::Duration timeout,
                                                 absl::Duration asked = absl::InfiniteDuration());

 private:
  ApiStatus Failure(absl::string_view metric, absl::string_view rule,
                    const absl::Status& status) const;

  Registry& registry_;
  const bool strict_compat_;
};

}  // namespace wheelpit::adapter
