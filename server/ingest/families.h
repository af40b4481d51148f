// What reports may name their families, and what a family is when nobody says.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/model/metric.h"
#include "server/series/series_store.h"

namespace wheelpit {

// CheckName, and the server's own prefix `wheelpit_` is refused (`wheelpit_reporter_` is the SDK's). BAD_METRIC_NAME.
absl::Status CheckReportName(const SeriesStore& store, absl::string_view name);
// A counter when the name ends in `_total`, else a gauge.
Family DefaultFamily(absl::string_view name);

}  // namespace wheelpit
