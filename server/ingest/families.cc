#include "server/ingest/families.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"

namespace wheelpit {

absl::Status CheckReportName(const SeriesStore& store, absl::string_view name) {
  if (absl::StartsWith(name, "wheelpit_") && !absl::StartsWith(name, "wheelpit_reporter_")) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_METRIC_NAME", absl::StrCat("invalid metric name ", Quoted(name)));
  }
  return store.CheckName(name);
}

Family DefaultFamily(absl::string_view name) {
  Family family;
  family.name = std::string(name);
  family.type = absl::EndsWith(name, "_total") ? MetricType::kCounter : MetricType::kGauge;
  return family;
}

}  // namespace wheelpit
