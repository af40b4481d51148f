// Families as text 0.0.4 / 1.0.0 and OpenMetrics 1.0: metadata, then lines. Pure.
#pragma once

#include <prometheus/metric_family.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/exposition/negotiation.h"
#include "server/model/labels.h"
#include "server/model/metric.h"
#include "server/series/label_set.h"

namespace wheelpit {

// What metadata calls the family, escaped: OpenMetrics drops `_total` from counters.
std::string ExposedName(absl::string_view name, MetricType type, const ExpositionStyle& style);

// HELP, TYPE, UNIT, in the order of the format.
void AppendMetadata(const Family& family, const ExpositionStyle& style, std::string* out);

// `name{labels} `, up to where the value begins. `extra`: one more label, last (`le`); its name is legacy-valid.
void AppendLineStart(absl::string_view name, const LabelsView& labels, const ExpositionStyle& style, std::string* out,
                     absl::string_view extra_name = "", absl::string_view extra_value = "");

// A family's whole text and under which name it is sorted.
struct RenderedFamily {
  std::string exposed_name;
  std::string text;
};

// Counters, gauges, untyped and histograms; empty families give empty text.
RenderedFamily RenderPrometheusFamily(const prometheus::MetricFamily& family, const ExpositionStyle& style);

}  // namespace wheelpit
