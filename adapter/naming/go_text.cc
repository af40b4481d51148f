#include "adapter/naming/go_text.h"

#include <cstdint>
#include <map>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace wheelpit::adapter {
namespace {

struct Rune {
  uint32_t value = 0;
  size_t bytes = 1;
  bool valid = false;
};

// One UTF-8 code point as Go decodes it: overlong forms, surrogates and values above U+10FFFF are
// single bad bytes.
Rune DecodeRune(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return {first, 1, true};
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC2 ? 2 : 0;
  if (length == 0 || first > 0xF4 || text.size() < length) return {};
  uint32_t value = first & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    value = (value << 6) | (byte(i) & 0x3Fu);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  if (overlong || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return {};
  return {value, length, true};
}

// unicode.IsPrint for the blocks that matter: letters, marks, numbers, punctuation, symbols and the
// ASCII space. The ranges are Unicode's control, format, separator, private-use and noncharacter
// ones; unassigned code points count as printable here.
bool IsPrint(uint32_t rune) {
  struct Range {
    uint32_t first, last;
  };
  static constexpr Range kNotPrintable[] = {
      {0x00, 0x1F},       {0x7F, 0xA0},       {0xAD, 0xAD},       {0x600, 0x605},
      {0x61C, 0x61C},     {0x6DD, 0x6DD},     {0x70F, 0x70F},     {0x1680, 0x1680},
      {0x180E, 0x180E},   {0x2000, 0x200F},   {0x2028, 0x202F},   {0x205F, 0x206F},
      {0x3000, 0x3000},   {0xD800, 0xF8FF},   {0xFDD0, 0xFDEF},   {0xFEFF, 0xFEFF},
      {0xFFF0, 0xFFFB},   {0xFFFE, 0xFFFF},   {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A},
      {0xE0000, 0xE00FF}, {0xE01F0, 0x10FFFF}};
  for (const Range& range : kNotPrintable) {
    if (rune >= range.first && rune <= range.last) return false;
  }
  return true;
}

void AppendEscaped(uint32_t rune, std::string* out) {
  switch (rune) {
    case '\a':
      *out += "\\a";
      return;
    case '\b':
      *out += "\\b";
      return;
    case '\f':
      *out += "\\f";
      return;
    case '\n':
      *out += "\\n";
      return;
    case '\r':
      *out += "\\r";
      return;
    case '\t':
      *out += "\\t";
      return;
    case '\v':
      *out += "\\v";
      return;
    default:
      break;
  }
  if (rune < ' ' || rune == 0x7F) {
    absl::StrAppendFormat(out, "\\x%02x", rune);
  } else if (rune < 0x10000) {
    absl::StrAppendFormat(out, "\\u%04x", rune);
  } else {
    absl::StrAppendFormat(out, "\\U%08x", rune);
  }
}

bool IsWord(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// The group that `$name` or `${name}` at the start of `rest` (after the $) names. Nothing if it is
// malformed.
std::optional<absl::string_view> TakeGroupName(absl::string_view* rest) {
  const bool brace = !rest->empty() && rest->front() == '{';
  if (brace) rest->remove_prefix(1);
  size_t end = 0;
  while (end < rest->size() && IsWord((*rest)[end])) ++end;
  if (end == 0 || (brace && (end == rest->size() || (*rest)[end] != '}'))) return std::nullopt;
  const absl::string_view name = rest->substr(0, end);
  rest->remove_prefix(end + (brace ? 1 : 0));
  return name;
}

std::optional<int> GroupNumber(absl::string_view name) {
  int number = 0;
  for (char c : name) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c)) || number >= 100000000)
      return std::nullopt;
    number = number * 10 + (c - '0');
  }
  // Go refuses leading zeros: `$01` is the group called "01".
  if (name.size() > 1 && name[0] == '0') return std::nullopt;
  return number;
}

}  // namespace

std::string GoQuote(absl::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const Rune rune = DecodeRune(text);
    if (!rune.valid) {
      absl::StrAppendFormat(&out, "\\x%02x", static_cast<uint8_t>(text[0]));
    } else if (rune.value == '"' || rune.value == '\\') {
      out += '\\';
      out += text[0];
    } else if (IsPrint(rune.value)) {
      absl::StrAppend(&out, text.substr(0, rune.bytes));
    } else {
      AppendEscaped(rune.value, &out);
    }
    text.remove_prefix(rune.bytes);
  }
  out += '"';
  return out;
}

RE2::Options GoRegexOptions() {
  RE2::Options options;
  options.set_log_errors(false);
  // Already the defaults, stated because they are the contract: Go's Perl syntax, leftmost-first,
  // UTF-8.
  options.set_posix_syntax(false);
  options.set_longest_match(false);
  options.set_encoding(RE2::Options::EncodingUTF8);
  return options;
}

bool GoExpand(const RE2& re, absl::string_view expansion, absl::string_view text,
              std::string* out) {
  std::vector<re2::StringPiece> groups(static_cast<size_t>(re.NumberOfCapturingGroups()) + 1);
  const re2::StringPiece piece(text.data(), text.size());
  if (!re.Match(piece, 0, text.size(), RE2::UNANCHORED, groups.data(),
                static_cast<int>(groups.size())))
    return false;
  const auto append = [&](int group) {
    if (group < 0 || static_cast<size_t>(group) >= groups.size()) return;
    const re2::StringPiece& match = groups[static_cast<size_t>(group)];
    if (match.data() != nullptr) out->append(match.data(), match.size());
  };
  const std::map<std::string, int>& names = re.NamedCapturingGroups();
  while (!expansion.empty()) {
    const size_t dollar = expansion.find('$');
    absl::StrAppend(out, expansion.substr(0, dollar));
    if (dollar == absl::string_view::npos) break;
    expansion.remove_prefix(dollar + 1);
    if (!expansion.empty() && expansion[0] == '$') {
      *out += '$';
      expansion.remove_prefix(1);
      continue;
    }
    absl::string_view rest = expansion;
    const std::optional<absl::string_view> name = TakeGroupName(&rest);
    if (!name.has_value()) {
      // Malformed: Go treats the $ as raw text.
      *out += '$';
      continue;
    }
    expansion = rest;
    if (const std::optional<int> number = GroupNumber(*name); number.has_value()) {
      append(*number);
    } else if (auto it = names.find(std::string(*name)); it != names.end()) {
      append(it->second);
    }
  }
  return true;
}

absl::StatusOr<absl::Duration> ParseGoDuration(absl::string_view text) {
  const auto invalid = [&] {
    return absl::InvalidArgumentError(absl::StrCat("time: invalid duration ", GoQuote(text)));
  };
  absl::string_view rest = text;
  bool negative = false;
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) {
    negative = rest[0] == '-';
    rest.remove_prefix(1);
  }
  if (rest == "0") return absl::ZeroDuration();
  if (rest.empty()) return invalid();
  static const std::map<std::string, absl::Duration> kUnits = {{"ns", absl::Nanoseconds(1)},
                                                               {"us", absl::Microseconds(1)},
                                                               {"\u00b5s", absl::Microseconds(1)},
                                                               {"\u03bcs", absl::Microseconds(1)},
                                                               {"ms", absl::Milliseconds(1)},
                                                               {"s", absl::Seconds(1)},
                                                               {"m", absl::Minutes(1)},
                                                               {"h", absl::Hours(1)}};
  absl::Duration total;
  while (!rest.empty()) {
    double number = 0, scale = 1;
    size_t digits = 0, i = 0;
    bool fraction = false;
    for (; i < rest.size(); ++i) {
      if (rest[i] == '.' && !fraction) {
        fraction = true;
      } else if (absl::ascii_isdigit(static_cast<unsigned char>(rest[i]))) {
        number = number * 10 + (rest[i] - '0');
        if (fraction) scale *= 10;
        ++digits;
      } else {
        break;
      }
    }
    if (digits == 0) return invalid();
    rest.remove_prefix(i);
    size_t end = 0;
    while (end < rest.size() && rest[end] != '.' &&
           !absl::ascii_isdigit(static_cast<unsigned char>(rest[end])))
      ++end;
    if (end == 0)
      return absl::InvalidArgumentError(
          absl::StrCat("time: missing unit in duration ", GoQuote(text)));
    const auto unit = kUnits.find(std::string(rest.substr(0, end)));
    if (unit == kUnits.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "time: unknown unit ", GoQuote(rest.substr(0, end)), " in duration ", GoQuote(text)));
    }
    rest.remove_prefix(end);
    total += unit->second * (number / scale);
    // Go's durations are 63 bits of nanoseconds.
    if (total > absl::Nanoseconds(INT64_MAX)) return invalid();
  }
  return negative ? -total : total;
}

}  // namespace wheelpit::adapter
