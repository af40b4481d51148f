#include "adapter/http/own_metrics_text.h"

#include <charconv>
#include <cmath>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace wheelpit::adapter {
namespace {

std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return std::string(buffer, end.ptr);
}

void AddLine(absl::string_view name, const MetricLabels& labels, absl::string_view le,
             absl::string_view value, std::string* out) {
  absl::StrAppend(out, name);
  const char* separator = "{";
  const auto add = [&](absl::string_view label, absl::string_view text) {
    absl::StrAppend(out, separator, label, "=\"",
                    absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}}),
                    "\"");
    separator = ",";
  };
  for (const auto& [label, text] : labels) add(label, text);
  if (!le.empty()) add("le", le);
  absl::StrAppend(out, *separator == ',' ? "} " : " ", value, "\n");
}

void AddHistogram(absl::string_view name, const OwnFamily::Cell& cell, std::string* out) {
  const std::vector<uint64_t> counts = cell.histogram->counts();
  const std::vector<double>& bounds = cell.histogram->bounds();
  uint64_t total = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    total += counts[i];
    AddLine(absl::StrCat(name, "_bucket"), cell.labels,
            i < bounds.size() ? Number(bounds[i]) : "+Inf", absl::StrCat(total), out);
  }
  AddLine(absl::StrCat(name, "_sum"), cell.labels, "", Number(cell.histogram->sum()), out);
  AddLine(absl::StrCat(name, "_count"), cell.labels, "", absl::StrCat(total), out);
}

}  // namespace

std::string OwnMetricsText(const MetricRegistry& registry, absl::string_view prefix) {
  std::string out;
  registry.Visit([&](const OwnFamily& family) {
    if (!absl::StartsWith(family.name, prefix)) return;
    const char* type = family.type == OwnFamily::Type::kCounter ? "counter"
                       : family.type == OwnFamily::Type::kGauge ? "gauge"
                                                                : "histogram";
    absl::StrAppend(&out, "# HELP ", family.name, " ",
                    absl::StrReplaceAll(family.help, {{"\\", "\\\\"}, {"\n", "\\n"}}), "\n# TYPE ",
                    family.name, " ", type, "\n");
    for (const auto& cell : family.cells) {
      if (cell->counter != nullptr)
        AddLine(family.name, cell->labels, "", absl::StrCat(cell->counter->value()), &out);
      if (cell->gauge != nullptr)
        AddLine(family.name, cell->labels, "", Number(cell->gauge->value()), &out);
      if (cell->histogram != nullptr) AddHistogram(family.name, *cell, &out);
    }
  });
  return out;
}

}  // namespace wheelpit::adapter
