#include "server/exposition/names.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "server/series/name_rules.h"

namespace wheelpit {
namespace {

// The code point at the start of `text`, and its length. Invalid bytes stand for themselves.
uint32_t NextCodePoint(absl::string_view text, size_t* length) {
  const auto first = static_cast<unsigned char>(text[0]);
  const size_t want = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (want == 1 || want > text.size()) {
    *length = 1;
    return first;
  }
  uint32_t point = first & (0x7fu >> want);
  for (size_t i = 1; i < want; ++i) point = point << 6 | (static_cast<unsigned char>(text[i]) & 0x3fu);
  *length = want;
  return point;
}

bool IsValidPoint(uint32_t point, bool first, bool colon) {
  if (point >= 0x80) return false;
  const auto byte = static_cast<unsigned char>(point);
  return absl::ascii_isalpha(byte) || byte == '_' || (colon && byte == ':') || (!first && absl::ascii_isdigit(byte));
}

std::string Escape(absl::string_view name, Escaping escaping, bool colon) {
  std::string out = escaping == Escaping::kValues ? "U__" : "";
  for (size_t at = 0, length = 0; at < name.size(); at += length) {
    const uint32_t point = NextCodePoint(name.substr(at), &length);
    const bool valid = IsValidPoint(point, at == 0, colon);
    if (point == '_' && escaping != Escaping::kUnderscores) {
      out += "__";
    } else if (point == '.' && escaping == Escaping::kDots) {
      out += "_dot_";
    } else if (valid) {
      out.push_back(static_cast<char>(point));
    } else if (escaping == Escaping::kValues) {
      out += absl::StrFormat("_%x_", point);
    } else {
      out += escaping == Escaping::kDots ? "__" : "_";
    }
  }
  return out;
}

}  // namespace

absl::string_view EscapingName(Escaping escaping) {
  switch (escaping) {
    case Escaping::kAllowUtf8:
      return "allow-utf-8";
    case Escaping::kDots:
      return "dots";
    case Escaping::kValues:
      return "values";
    default:
      return "underscores";
  }
}

Escaping ParseEscaping(absl::string_view text) {
  for (const Escaping escaping : {Escaping::kAllowUtf8, Escaping::kDots, Escaping::kValues}) {
    if (text == EscapingName(escaping)) return escaping;
  }
  return Escaping::kUnderscores;
}

std::string EscapeMetricName(absl::string_view name, Escaping escaping) {
  if (escaping == Escaping::kAllowUtf8 || IsLegacyMetricName(name)) return std::string(name);
  return Escape(name, escaping, /*colon=*/true);
}

std::string EscapeLabelName(absl::string_view name, Escaping escaping) {
  if (escaping == Escaping::kAllowUtf8 || IsLegacyLabelName(name)) return std::string(name);
  return Escape(name, escaping, /*colon=*/false);
}

void AppendEscapedValue(absl::string_view value, std::string* out) { AppendEscapedHelp(value, /*quotes=*/true, out); }

void AppendEscapedHelp(absl::string_view help, bool quotes, std::string* out) {
  for (const char c : help) {
    if (c == '\\') {
      *out += "\\\\";
    } else if (c == '\n') {
      *out += "\\n";
    } else if (c == '"' && quotes) {
      *out += "\\\"";
    } else {
      out->push_back(c);
    }
  }
}

}  // namespace wheelpit
