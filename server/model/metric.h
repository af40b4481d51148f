// Families of series: their types and what is declared of them once.
#pragma once

#include <string>
#include <vector>

namespace wheelpit {

// Values as on the wire and on disk (wheelpit.v1.MetricType, FamilyMeta.type).
enum class MetricType {
  kUnspecified = 0,
  kCounter = 1,
  kGauge = 2,
  kHistogram = 3,
  kNativeHistogram = 4,
  kSummary = 5,
  kInfo = 6,
  kUnknown = 7,
  kGaugeHistogram = 8,
};

enum class GaugeMerge { kUnspecified = 0, kSum = 1, kLast = 2, kMin = 3, kMax = 4, kAvg = 5, kCount = 6 };

// `counter`, `gauge`, …
const char* MetricTypeName(MetricType type);

struct Family {
  std::string name;
  MetricType type = MetricType::kUnspecified;
  std::string help;
  std::string unit;
  GaugeMerge gauge_merge = GaugeMerge::kUnspecified;
  std::vector<double> bucket_bounds;
};

}  // namespace wheelpit
