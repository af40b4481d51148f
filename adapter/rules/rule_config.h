// prometheus-adapter's configuration file, read strictly: unknown and repeated keys, wrong types,
// regexes and templates that do not compile are errors that name the line. Our own key of a rule:
// `source: auto|aggregator|prometheus`.
//
// Pure, thread-safe.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "adapter/rules/rule.h"

namespace wheelpit::adapter {

// kInvalidArgument: `line 14: externalRules[2].name.matches "(": missing ): (`.
absl::StatusOr<RuleSet> ParseRuleConfig(absl::string_view yaml);

// `5m`, `1h30m`, `15s`, `1w`, `0`: Prometheus durations.
absl::StatusOr<absl::Duration> ParsePrometheusDuration(absl::string_view text);

}  // namespace wheelpit::adapter
