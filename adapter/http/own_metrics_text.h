// The cells of base/metrics.h in Prometheus' text format 0.0.4.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "base/metrics.h"

namespace wheelpit::adapter {

// Families whose name starts with `prefix`.
std::string OwnMetricsText(const MetricRegistry& registry, absl::string_view prefix);

}  // namespace wheelpit::adapter
