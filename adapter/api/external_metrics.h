// ExternalMetricValueList. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "adapter/api/json_text.h"

namespace wheelpit::adapter {

struct ExternalValue {
  std::map<std::string, std::string> labels;
  // A scalar has no labels, not even none: they are written as null.
  bool has_labels = true;
  double value = 0;
};

struct ExternalValues {
  // As requested.
  std::string metric;
  absl::Time evaluated_at;
  std::vector<ExternalValue> values;
};

// What to do with values that no quantity may stand for.
enum class UnfitValues { kLeaveOut, kAsPrometheusAdapter };

// Values that no quantity may stand for are left out and counted in `dropped` (may be null): NaN
// and ±Inf, which the HPA would read as 0, and negative ones, which it takes for an overflow. Too
// large ones are cut to the largest. kAsPrometheusAdapter: all are written (quantity.h).
Json ExternalMetricValueList(const ExternalValues& values, int* dropped,
                             UnfitValues unfit = UnfitValues::kLeaveOut);

// RFC 3339 in whole seconds, UTC.
std::string TimestampText(absl::Time time);

}  // namespace wheelpit::adapter
