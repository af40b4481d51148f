// `wheelpit query`: PromQL at this instant.
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/command.h"
#include "client/cli/output.h"
#include "client/sdk/query.h"

namespace wheelpit {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kUsage[] =
    "usage: wheelpit query [flags] PROMQL\n"
    "\n"
    "Prints a line `series<TAB>value` for each element; nothing if there is no such series.\n";

std::string SeriesText(const std::vector<LabelPair>& labels) {
  std::string name, inner;
  for (const LabelPair& label : labels) {
    if (label.first == "__name__") {
      name = label.second;
    } else {
      absl::StrAppend(&inner, inner.empty() ? "" : ",", label.first, "=\"",
                      absl::Utf8SafeCEscape(label.second), "\"");
    }
  }
  return inner.empty() && !name.empty() ? name : absl::StrCat(name, "{", inner, "}");
}

// The shortest text that reads back as this value.
std::string ValueText(double value) {
  for (int digits = 6; digits < 17; ++digits) {
    std::string text = absl::StrFormat("%.*g", digits, value);
    double back = 0;
    if (absl::SimpleAtod(text, &back) && (back == value || std::isnan(value))) return text;
  }
  return absl::StrFormat("%.17g", value);
}

}  // namespace

int RunQuery(const std::vector<std::string>& args) {
  CommandFlags common("query", kUsage);
  InstantOptions options;
  common.table().AddBool("omit_unknown", &options.omit_unknown,
                         "leave out what cannot be known now instead of failing");
  std::vector<std::string> positional;
  if (const auto code = common.Parse(args, &positional)) return *code;
  if (positional.size() != 1) return common.UsageError("one PROMQL argument is required");
  auto query = Query::Create(common.client());
  if (!query.ok()) return Complain("query", query.status());
  const auto answer = (*query)->Instant(positional[0], options);
  if (!answer.ok()) return Complain("query", answer.status());
  if (common.json()) {
    Json elements = Json::array();
    for (const InstantElement& e : answer->elements) {
      Json labels = Json::object();
      for (const LabelPair& label : e.labels) labels[label.first] = label.second;
      elements.push_back({{"labels", labels}, {"value", e.value}, {"partial", e.partial}});
    }
    const Json line = {{"scalar", answer->scalar},
                       {"evaluated_at_ms", absl::ToUnixMillis(answer->evaluated_at)},
                       {"elements", elements}};
    std::cout << line.dump() << "\n";
    return kExitOk;
  }
  Table table({"SERIES", "VALUE"});
  for (const InstantElement& e : answer->elements) {
    table.Add({SeriesText(e.labels),
               absl::StrCat(ValueText(e.value), e.partial ? " (partial)" : "")});
  }
  std::cout << table.Render(StdoutIsTerminal());
  return kExitOk;
}

}  // namespace wheelpit
