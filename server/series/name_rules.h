// What names and label values may be, and which names would clash on a page. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/utf8.h"
#include "server/model/metric.h"

namespace wheelpit {

// `[a-zA-Z_:][a-zA-Z0-9_:]*`
bool IsLegacyMetricName(absl::string_view name);
// `[a-zA-Z_][a-zA-Z0-9_]*`
bool IsLegacyLabelName(absl::string_view name);

// Other names that a family's lines or metadata occupy on a page: a counter `x_total` has `x` and `x_created`, a histogram `x` has
// `x_bucket`, `x_sum`, `x_count` and `x_created`.
std::vector<std::string> OccupiedNames(absl::string_view name, MetricType type);

}  // namespace wheelpit
