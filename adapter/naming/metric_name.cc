#include "adapter/naming/metric_name.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "adapter/naming/go_text.h"

namespace wheelpit::adapter {

absl::StatusOr<std::shared_ptr<const MetricNamer>> MetricNamer::Create(absl::string_view matches,
                                                                       absl::string_view as) {
  const std::string pattern(matches.empty() ? ".*" : matches);
  auto regex = std::make_unique<RE2>(pattern, GoRegexOptions());
  if (!regex->ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("name.matches ", GoQuote(pattern), ": ", regex->error()));
  }
  std::string expansion(as);
  if (expansion.empty()) {
    const int groups = regex->NumberOfCapturingGroups();
    if (groups > 1) {
      return absl::InvalidArgumentError(absl::StrCat("name.matches ", GoQuote(pattern), " has ",
                                                     groups,
                                                     " groups: name.as must say which to use"));
    }
    expansion = groups == 1 ? "$1" : "$0";
  }
  return std::shared_ptr<const MetricNamer>(
      new MetricNamer(std::move(regex), std::move(expansion)));
}

std::optional<std::string> MetricNamer::Convert(absl::string_view series_name) const {
  std::string out;
  if (!GoExpand(*regex_, as_, series_name, &out)) return std::nullopt;
  return out;
}

std::optional<std::string> SeriesNameOfSelector(absl::string_view selector) {
  selector = absl::StripAsciiWhitespace(selector);
  const auto name_byte = [](char c, bool first) {
    const auto u = static_cast<unsigned char>(c);
    return absl::ascii_isalpha(u) || c == '_' || c == ':' || (!first && absl::ascii_isdigit(u));
  };
  size_t end = 0;
  while (end < selector.size() && name_byte(selector[end], end == 0)) ++end;
  if (end > 0) {
    const absl::string_view rest = absl::StripAsciiWhitespace(selector.substr(end));
    if (!rest.empty() && rest[0] != '{') return std::nullopt;
    return std::string(selector.substr(0, end));
  }
  // A quoted value may hold any text, so only a matcher right after the brace or before any quote
  // is trusted.
  static const RE2* const re =
      new RE2(R"(^\{\s*(?:[^"'`]*,\s*)?__name__\s*=\s*["']([a-zA-Z_:][a-zA-Z0-9_:]*)["']\s*[,}])",
              GoRegexOptions());
  std::string name;
  if (RE2::PartialMatch(re2::StringPiece(selector.data(), selector.size()), *re, &name))
    return name;
  return std::nullopt;
}

}  // namespace wheelpit::adapter
