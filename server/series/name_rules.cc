#include "server/series/name_rules.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace wheelpit {
namespace {

bool IsLegacyName(absl::string_view name, bool colon) {
  if (name.empty() || absl::ascii_isdigit(static_cast<unsigned char>(name[0]))) return false;
  for (const char c : name) {
    const auto u = static_cast<unsigned char>(c);
    if (!absl::ascii_isalnum(u) && c != '_' && !(colon && c == ':')) return false;
  }
  return true;
}

}  // namespace

bool IsLegacyMetricName(absl::string_view name) { return IsLegacyName(name, true); }
bool IsLegacyLabelName(absl::string_view name) { return IsLegacyName(name, false); }

std::vector<std::string> OccupiedNames(absl::string_view name, MetricType type) {
  const auto with = [&](absl::string_view suffix) { return absl::StrCat(name, suffix); };
  switch (type) {
    case MetricType::kCounter: {
      absl::string_view base = name;
      if (!absl::ConsumeSuffix(&base, "_total") || base.empty()) return {};
      return {std::string(base), absl::StrCat(base, "_created")};
    }
    case MetricType::kHistogram:
      return {with("_bucket"), with("_sum"), with("_count"), with("_created")};
    case MetricType::kGaugeHistogram:
      return {with("_bucket"), with("_gsum"), with("_gcount")};
    case MetricType::kSummary:
      return {with("_sum"), with("_count"), with("_created")};
    default:
      return {};
  }
}

}  // namespace wheelpit
