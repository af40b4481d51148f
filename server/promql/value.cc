#include "server/promql/value.h"

#include "absl/strings/str_cat.h"
#include "base/errors.h"

namespace wheelpit {

std::string SeriesText(absl::string_view name, const Labels& labels) {
  std::string out = absl::StrCat(name, "{");
  absl::string_view comma;
  for (const auto& [label, value] : labels.pairs()) {
    absl::StrAppend(&out, comma, label, "=", Quoted(value));
    comma = ",";
  }
  out.push_back('}');
  return out;
}

}  // namespace wheelpit
