// The values of external metrics: rule, query, source, answer.
//
// Thread-safe; blocks for the source's answer.
#pragma once

#include <functional>
#include <string>
#include <utility>
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
  struct Options {
    // Failures have prometheus-adapter's words; the cause is in the log only.
    bool strict_compat = false;
    // Told the reason (metric_source.h) of each failure; may be empty.
    std::function<void(const std::string& reason)> failed;
  };
  // `registry` outlives it.
  explicit ExternalProvider(Registry* registry) : ExternalProvider(registry, Options()) {}
  ExternalProvider(Registry* registry, Options options)
      : registry_(*registry), options_(std::move(options)) {}

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
  const Options options_;
};

}  // namespace wheelpit::adapter
