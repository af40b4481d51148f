#include "server/series/name_rules.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace wheelpit {
namespace {

// Length of the sequence that starts at text[0], 0 if it is not valid.
size_t SequenceLength(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  size_t length = 0;
  uint8_t low = 0x80, high = 0xbf;  // of the second byte
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
  } else {
    return 0;
  }
  if (text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

bool IsLegacyName(absl::string_view name, bool colon) {
  if (name.empty() || absl::ascii_isdigit(static_cast<unsigned char>(name[0]))) return false;
  for (const char c : name) {
    const auto u = static_cast<unsigned char>(c);
    if (!absl::ascii_isalnum(u) && c != '_' && !(colon && c == ':')) return false;
  }
  return true;
}

}  // namespace

bool IsValidUtf8(absl::string_view text) {
  while (!text.empty()) {
    const size_t n = SequenceLength(text);
    if (n == 0) return false;
    text.remove_prefix(n);
  }
  return true;
}

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
