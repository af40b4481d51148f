// Text as Go prints and reads it, where prometheus-adapter's users can see it: %q, regexp.Expand,
// time.ParseDuration.
//
// Pure functions, thread-safe.
//
//   GoQuote("a\"b")                                   -> "a\"b" with its quotes and escapes
//   GoExpand(re, "${1}_per_second", "jobs_total")     -> jobs_per_second
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "re2/re2.h"

namespace wheelpit::adapter {

// strconv.Quote. Printable Unicode stays as it is; what Go calls not printable becomes \x.., \u....
// or \U.........
std::string GoQuote(absl::string_view text);

// Regexes as Go's regexp reads them: RE2 syntax, unanchored search, leftmost-first.
RE2::Options GoRegexOptions();

// The first match of `re` in `text` put into `expansion` as Go's Regexp.ExpandString does: $n,
// ${n}, $name, ${name}, $$; the name after a bare $ is the longest run of [A-Za-z0-9_], so
// `$1_per_second` asks for a group called `1_per_second` and gives nothing. Unknown groups are
// empty. False if `re` does not match.
bool GoExpand(const RE2& re, absl::string_view expansion, absl::string_view text, std::string* out);

// time.ParseDuration, error texts included (`time: invalid duration "x"`).
absl::StatusOr<absl::Duration> ParseGoDuration(absl::string_view text);

}  // namespace wheelpit::adapter
