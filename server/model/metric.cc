#include "server/model/metric.h"

namespace wheelpit {

const char* MetricTypeName(MetricType type) {
  switch (type) {
    case MetricType::kUnspecified:
      return "unspecified";
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
    case MetricType::kNativeHistogram:
      return "native_histogram";
    case MetricType::kSummary:
      return "summary";
    case MetricType::kInfo:
      return "info";
    case MetricType::kUnknown:
      return "unknown";
    case MetricType::kGaugeHistogram:
      return "gauge_histogram";
  }
  return "?";
}

}  // namespace wheelpit
