#include "base/option_text.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace wheelpit {
namespace {

constexpr size_t kIndent = 6;

// Characters, not bytes: continuation bytes of UTF-8 take no column.
size_t Width(absl::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

std::string Sentence(absl::string_view text) {
  if (text.empty() || text.back() == '.' || text.back() == '?') return std::string(text);
  return absl::StrCat(text, ".");
}

std::string Cell(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"|", "\\|"}, {"\n", " "}});
}

}  // namespace

std::string OptionHelpText(absl::string_view text, size_t columns) {
  const std::string indent(kIndent, ' ');
  std::string out;
  size_t used = 0;
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    const size_t width = Width(word);
    if (used > 0 && used + 1 + width > columns) {
      out.push_back('\n');
      used = 0;
    }
    absl::StrAppend(&out, used == 0 ? indent : " ", word);
    used += (used == 0 ? kIndent : 1) + width;
  }
  if (used > 0) out.push_back('\n');
  return out;
}

std::string OptionHelp(const OptionTable& table, size_t columns) {
  columns = std::max<size_t>(columns, 40);
  std::string out;
  for (const OptionTable::Described& o : table.Describe()) {
    absl::StrAppend(&out, "  --", o.name, o.type == "bool" ? "" : absl::StrCat("=", o.type), "\n");
    std::vector<std::string> facts;
    if (!o.range.empty())
      facts.push_back(o.type == "choice" ? absl::StrCat("one of ", o.range) : o.range);
    if (!o.default_value.empty()) facts.push_back(absl::StrCat("default ", o.default_value));
    std::string text = Sentence(o.help);
    if (!facts.empty()) {
      std::string fact = absl::StrJoin(facts, ", ");
      if (fact[0] >= 'a' && fact[0] <= 'z') fact[0] = static_cast<char>(fact[0] - 'a' + 'A');
      absl::StrAppend(&text, text.empty() ? "" : " ", fact, ".");
    }
    out += OptionHelpText(text, columns);
  }
  return out;
}

std::string OptionMarkdown(const OptionTable& table) {
  std::string out = "| option | type | default | range | meaning |\n|---|---|---|---|---|\n";
  for (const OptionTable::Described& o : table.Describe()) {
    const std::string shown =
        o.default_value.empty() ? "" : absl::StrCat("`", Cell(o.default_value), "`");
    absl::StrAppend(&out, "| `", o.name, "` | ", o.type, " | ", shown, " | ", Cell(o.range), " | ",
                    Cell(o.help), " |\n");
  }
  return out;
}

std::string OptionValues(const OptionTable& table) {
  std::string out;
  for (const OptionTable::Described& o : table.Describe())
    absl::StrAppend(&out, o.name, " = ", o.value, "  # ", OptionOriginName(o.origin), "\n");
  return out;
}

}  // namespace wheelpit
