#include "server/exposition/negotiation.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace wheelpit {
namespace {

struct Clause {
  std::string type;  // lower case
  std::string version;
  std::string escaping;
  double q = 1;
  // 0 = a full type, 1 = `x/*`, 2 = `*/*`
  int wildness = 0;
};

Clause ParseClause(absl::string_view text) {
  Clause clause;
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ';');
  clause.type = absl::AsciiStrToLower(absl::StripAsciiWhitespace(parts[0]));
  clause.wildness = clause.type == "*/*" ? 2 : absl::StrContains(clause.type, "/*") ? 1 : 0;
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::vector<absl::string_view> pair = absl::StrSplit(parts[i], absl::MaxSplits('=', 1));
    if (pair.size() != 2) continue;
    const std::string key = absl::AsciiStrToLower(absl::StripAsciiWhitespace(pair[0]));
    absl::string_view value = absl::StripAsciiWhitespace(pair[1]);
    if (value.size() >= 2 && absl::ConsumePrefix(&value, "\"")) absl::ConsumeSuffix(&value, "\"");
    if (key == "version") clause.version = std::string(value);
    if (key == "escaping") clause.escaping = absl::AsciiStrToLower(value);
    if (key == "q" && !absl::SimpleAtod(value, &clause.q)) clause.q = 0;
  }
  return clause;
}

// False if the clause names nothing we have.
bool Match(const Clause& clause, Negotiated* out) {
  ExpositionStyle& style = out->style;
  style.escaping = ParseEscaping(clause.escaping);
  std::string version = clause.version;
  const bool text = clause.type == "text/plain" || clause.wildness == 2 || clause.type == "text/*";
  const bool open_metrics = clause.type == "application/openmetrics-text" || clause.type == "application/*";
  if (text) {
    if (version.empty() || clause.wildness > 0) version = "0.0.4";
    if (version != "0.0.4" && version != "1.0.0") return false;
    style.format = ExpositionFormat::kText;
  } else if (open_metrics) {
    if (version.empty()) version = "0.0.1";
    if (clause.wildness > 0) version = "1.0.0";
    if (version != "0.0.1" && version != "1.0.0") return false;
    style.format = ExpositionFormat::kOpenMetrics;
  } else {
    return false;
  }
  out->content_type = absl::StrCat(text ? "text/plain" : "application/openmetrics-text", "; version=", version,
                                   "; charset=utf-8; escaping=", EscapingName(style.escaping));
  return true;
}

}  // namespace

Negotiated NegotiateExposition(absl::string_view accept) {
  std::vector<Clause> clauses;
  for (absl::string_view part : absl::StrSplit(accept, ',', absl::SkipWhitespace())) {
    clauses.push_back(ParseClause(part));
  }
  std::stable_sort(clauses.begin(), clauses.end(), [](const Clause& a, const Clause& b) {
    return a.q != b.q ? a.q > b.q : a.wildness < b.wildness;
  });
  Negotiated out;
  for (const Clause& clause : clauses) {
    if (clause.q > 0 && Match(clause, &out)) return out;
  }
  Match(Clause{.type = "text/plain", .version = "", .escaping = "", .q = 1, .wildness = 0}, &out);
  return out;
}

}  // namespace wheelpit
