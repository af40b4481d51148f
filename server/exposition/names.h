// Names on a page: legacy-valid ones as they are, others escaped or quoted as the scraper asked. Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace wheelpit {

enum class Escaping { kUnderscores, kAllowUtf8, kDots, kValues };

// `underscores`, `allow-utf-8`, …
absl::string_view EscapingName(Escaping escaping);
// Unknown text: kUnderscores.
Escaping ParseEscaping(absl::string_view text);

// A name that is legacy-valid (as a metric's, or as a label's) is returned unchanged; kAllowUtf8 changes nothing.
std::string EscapeMetricName(absl::string_view name, Escaping escaping);
std::string EscapeLabelName(absl::string_view name, Escaping escaping);

// Appends with `\`, LF and `"` escaped.
void AppendEscapedValue(absl::string_view value, std::string* out);
// HELP text: `\` and LF, and `"` if `quotes`.
void AppendEscapedHelp(absl::string_view help, bool quotes, std::string* out);

}  // namespace wheelpit
