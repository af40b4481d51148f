#include "server/exposition/text_writer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/exposition/value_format.h"
#include "server/series/name_rules.h"

namespace wheelpit {
namespace {

constexpr absl::string_view kTotal = "_total";

absl::string_view TypeWord(const Family& family, ExpositionFormat format) {
  const bool open_metrics = format == ExpositionFormat::kOpenMetrics;
  switch (family.type) {
    case MetricType::kCounter:
      return open_metrics && !absl::EndsWith(family.name, kTotal) ? "unknown" : "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
    default:
      return open_metrics ? "unknown" : "untyped";
  }
}

void AppendNameToken(absl::string_view exposed, std::string* out) {
  if (IsLegacyMetricName(exposed)) {
    absl::StrAppend(out, exposed);
    return;
  }
  out->push_back('"');
  AppendEscapedValue(exposed, out);
  out->push_back('"');
}

void AppendLabel(absl::string_view exposed_name, absl::string_view value, std::string* out) {
  if (IsLegacyLabelName(exposed_name)) {
    absl::StrAppend(out, exposed_name);
  } else {
    out->push_back('"');
    AppendEscapedValue(exposed_name, out);
    out->push_back('"');
  }
  *out += "=\"";
  AppendEscapedValue(value, out);
  out->push_back('"');
}

void AppendValueLine(const std::string& start, double value, std::string* out) {
  absl::StrAppend(out, start, FormatNumber(value), "\n");
}

std::string LineStart(absl::string_view name, const LabelsView& labels, const ExpositionStyle& style,
                      absl::string_view extra_name = "", absl::string_view extra_value = "") {
  std::string start;
  AppendLineStart(name, labels, style, &start, extra_name, extra_value);
  return start;
}

void AppendHistogram(absl::string_view name, const LabelsView& labels, const prometheus::ClientMetric::Histogram& histogram,
                     const ExpositionStyle& style, std::string* out) {
  const std::string bucket = absl::StrCat(name, "_bucket");
  bool has_infinity = false;
  for (const auto& b : histogram.bucket) {
    has_infinity |= std::isinf(b.upper_bound);
    absl::StrAppend(out, LineStart(bucket, labels, style, "le", FormatBound(b.upper_bound)), b.cumulative_count, "\n");
  }
  if (!has_infinity) absl::StrAppend(out, LineStart(bucket, labels, style, "le", "+Inf"), histogram.sample_count, "\n");
  AppendValueLine(LineStart(absl::StrCat(name, "_sum"), labels, style), histogram.sample_sum, out);
  absl::StrAppend(out, LineStart(absl::StrCat(name, "_count"), labels, style), histogram.sample_count, "\n");
}

MetricType TypeOf(prometheus::MetricType type) {
  switch (type) {
    case prometheus::MetricType::Counter:
      return MetricType::kCounter;
    case prometheus::MetricType::Gauge:
      return MetricType::kGauge;
    case prometheus::MetricType::Histogram:
      return MetricType::kHistogram;
    default:
      return MetricType::kUnknown;
  }
}

}  // namespace

std::string ExposedName(absl::string_view name, MetricType type, const ExpositionStyle& style) {
  if (style.format == ExpositionFormat::kOpenMetrics && type == MetricType::kCounter) {
    // Escaping keeps the suffix, but not at the same length: the name without it is what is escaped.
    absl::ConsumeSuffix(&name, kTotal);
  }
  return EscapeMetricName(name, style.escaping);
}

void AppendMetadata(const Family& family, const ExpositionStyle& style, std::string* out) {
  const bool open_metrics = style.format == ExpositionFormat::kOpenMetrics;
  std::string token;
  AppendNameToken(ExposedName(family.name, family.type, style), &token);
  std::string help;
  if (!family.help.empty()) {
    absl::StrAppend(&help, "# HELP ", token, " ");
    AppendEscapedHelp(family.help, /*quotes=*/open_metrics, &help);
    help.push_back('\n');
  }
  if (!open_metrics) *out += help;
  absl::StrAppend(out, "# TYPE ", token, " ", TypeWord(family, style.format), "\n");
  if (!open_metrics) return;
  // The parser refuses a unit that the name does not end in.
  absl::string_view name = family.name;
  if (family.type == MetricType::kCounter) absl::ConsumeSuffix(&name, kTotal);
  if (!family.unit.empty() && absl::EndsWith(name, absl::StrCat("_", family.unit))) {
    absl::StrAppend(out, "# UNIT ", token, " ", family.unit, "\n");
  }
  *out += help;
}

void AppendLineStart(absl::string_view name, const LabelsView& labels, const ExpositionStyle& style, std::string* out,
                     absl::string_view extra_name, absl::string_view extra_value) {
  const std::string exposed = EscapeMetricName(name, style.escaping);
  const bool quoted = !IsLegacyMetricName(exposed);
  if (!quoted) *out += exposed;
  bool first = true;
  const auto separate = [&first, out] {
    out->push_back(first ? '{' : ',');
    first = false;
  };
  if (quoted) {
    separate();
    AppendNameToken(exposed, out);
  }
  for (const LabelView& label : labels) {
    separate();
    if (IsLegacyLabelName(label.name)) {
      AppendLabel(label.name, label.value, out);
    } else {
      AppendLabel(EscapeLabelName(label.name, style.escaping), label.value, out);
    }
  }
  if (!extra_name.empty()) {
    separate();
    AppendLabel(extra_name, extra_value, out);
  }
  if (!first) out->push_back('}');
  out->push_back(' ');
}

RenderedFamily RenderPrometheusFamily(const prometheus::MetricFamily& source, const ExpositionStyle& style) {
  Family family;
  family.name = source.name;
  family.help = source.help;
  family.type = TypeOf(source.type);
  RenderedFamily rendered;
  rendered.exposed_name = ExposedName(family.name, family.type, style);
  if (source.metric.empty()) return rendered;
  std::string* const out = &rendered.text;
  AppendMetadata(family, style, out);
  for (const prometheus::ClientMetric& metric : source.metric) {
    std::vector<Labels::Pair> pairs;
    for (const auto& label : metric.label) pairs.emplace_back(label.name, label.value);
    const std::string packed = PackLabels(Labels(std::move(pairs)));
    const LabelsView labels(packed);
    switch (source.type) {
      case prometheus::MetricType::Counter:
        AppendValueLine(LineStart(family.name, labels, style), metric.counter.value, out);
        break;
      case prometheus::MetricType::Gauge:
        AppendValueLine(LineStart(family.name, labels, style), metric.gauge.value, out);
        break;
      case prometheus::MetricType::Histogram:
        AppendHistogram(family.name, labels, metric.histogram, style, out);
        break;
      default:
        AppendValueLine(LineStart(family.name, labels, style), metric.untyped.value, out);
    }
  }
  return rendered;
}

}  // namespace wheelpit
