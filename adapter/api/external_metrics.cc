#include "adapter/api/external_metrics.h"

#include <optional>

#include "adapter/api/quantity.h"

namespace wheelpit::adapter {

std::string TimestampText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

Json ExternalMetricValueList(const ExternalValues& values, int* dropped,
                             UnfitValues unfit) {
  Json list;
  list["kind"] = "ExternalMetricValueList";
  list["apiVersion"] = "external.metrics.k8s.io/v1beta1";
  list["metadata"] = Json::object();
  list["items"] = Json::array();
  for (const ExternalValue& value : values.values) {
    const bool as_it_is = unfit == UnfitValues::kAsPrometheusAdapter;
    const std::optional<int64_t> milli =
        as_it_is ? MilliOfPrometheusAdapter(value.value) : MilliOf(value.value);
    if (!as_it_is && (!milli.has_value() || *milli < 0)) {
      if (dropped != nullptr) ++*dropped;
      continue;
    }
    Json item;
    item["metricName"] = values.metric;
    if (value.has_labels) {
      item["metricLabels"] = Json::object();
      for (const auto& [name, text] : value.labels) item["metricLabels"][name] = text;
    } else {
      item["metricLabels"] = nullptr;
    }
    item["timestamp"] = TimestampText(values.evaluated_at);
    item["value"] = QuantityText(*milli);
    list["items"].push_back(std::move(item));
  }
  return list;
}

}  // namespace wheelpit::adapter
