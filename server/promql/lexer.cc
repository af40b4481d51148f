#include "server/promql/lexer.h"

#include <array>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/errors.h"
#include "base/status_macros.h"

namespace wheelpit {
namespace {

bool StartsName(char c) { return absl::ascii_isalpha(c) || c == '_' || c == ':'; }
bool ContinuesName(char c) { return StartsName(c) || absl::ascii_isdigit(c); }

void AppendUtf8(uint32_t code, std::string* out) {
  if (code < 0x80) {
    out->push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out->push_back(static_cast<char>(0xc0 | code >> 6));
    out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
  } else if (code < 0x10000) {
    out->push_back(static_cast<char>(0xe0 | code >> 12));
    out->push_back(static_cast<char>(0x80 | (code >> 6 & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
  } else {
    out->push_back(static_cast<char>(0xf0 | code >> 18));
    out->push_back(static_cast<char>(0x80 | (code >> 12 & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (code >> 6 & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
  }
}

struct DurationUnit {
  absl::string_view text;
  double seconds;
};
// Falling; `ms` stands before `m` and `s` are tried on the same letters.
constexpr std::array<DurationUnit, 7> kUnits = {{{"y", 365 * 86400.0},
                                                 {"w", 7 * 86400.0},
                                                 {"d", 86400.0},
                                                 {"h", 3600.0},
                                                 {"m", 60.0},
                                                 {"s", 1.0},
                                                 {"ms", 0.001}}};

class Lexer {
 public:
  explicit Lexer(absl::string_view text) : text_(text) {}

  absl::StatusOr<std::vector<Token>> Run() {
    std::vector<Token> tokens;
    for (;;) {
      SkipBlanks();
      Token token;
      token.position = Position();
      if (AtEnd()) {
        tokens.push_back(std::move(token));
        return tokens;
      }
      const char c = text_[at_];
      if (StartsName(c)) {
        ReadName(&token);
      } else if (absl::ascii_isdigit(c) || (c == '.' && absl::ascii_isdigit(Peek(1)))) {
        WHEELPIT_RETURN_IF_ERROR(ReadNumber(&token));
      } else if (c == '"' || c == '\'' || c == '`') {
        WHEELPIT_RETURN_IF_ERROR(ReadString(&token));
      } else {
        WHEELPIT_RETURN_IF_ERROR(ReadSymbol(&token));
      }
      tokens.push_back(std::move(token));
    }
  }

 private:
  bool AtEnd() const { return at_ >= text_.size(); }
  char Peek(size_t ahead) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  TextPosition Position() const { return {line_, static_cast<uint32_t>(at_ - line_start_ + 1)}; }

  void SkipBlanks() {
    for (; !AtEnd(); ++at_) {
      const char c = text_[at_];
      if (c == '#') {
        while (!AtEnd() && text_[at_] != '\n') ++at_;
        if (AtEnd()) return;
      } else if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
        return;
      }
      if (text_[at_] == '\n') {
        ++line_;
        line_start_ = at_ + 1;
      }
    }
  }

  void ReadName(Token* token) {
    const size_t from = at_;
    while (!AtEnd() && ContinuesName(text_[at_])) ++at_;
    token->kind = TokenKind::kIdentifier;
    token->text = std::string(text_.substr(from, at_ - from));
  }

  absl::Status ReadNumber(Token* token) {
    const size_t from = at_;
    if (ReadDuration(token)) return absl::OkStatus();
    token->kind = TokenKind::kNumber;
    const bool hex = Peek(0) == '0' && (Peek(1) == 'x' || Peek(1) == 'X');
    bool ok = true;
    if (hex) {
      at_ += 2;
      ok = SkipDigits(true) > 0;
    } else {
      size_t digits = SkipDigits(false);
      if (Peek(0) == '.') {
        ++at_;
        digits += SkipDigits(false);
      }
      ok = digits > 0;
      if (ok && (Peek(0) == 'e' || Peek(0) == 'E')) {
        ++at_;
        if (Peek(0) == '+' || Peek(0) == '-') ++at_;
        ok = SkipDigits(false) > 0;
      }
    }
    // `_` stands between digits only, and a number ends before anything that would go on with a
    // name.
    const bool ends =
        AtEnd() || (text_[at_] != '.' && (text_[at_] == ':' || !ContinuesName(text_[at_])));
    while (!AtEnd() && (ContinuesName(text_[at_]) || text_[at_] == '.') && !ends) ++at_;
    const absl::string_view written = text_.substr(from, at_ - from);
    ok = ok && ends && !absl::StrContains(written, "__") && !absl::EndsWith(written, "_") &&
         !absl::StrContains(written, "_.") && !absl::StrContains(written, "._");
    const std::string plain = absl::StrReplaceAll(written, {{"_", ""}});
    if (ok && hex) {
      // Above 2^53 a hexadecimal number is rounded as any other; strtod reads hexadecimals whole.
      token->number = std::strtod(plain.c_str(), nullptr);
    } else if (ok) {
      ok = absl::SimpleAtod(plain, &token->number);
    }
    if (!ok)
      return ParseError(token->position, absl::StrCat("bad number or duration ", Quoted(written)));
    return absl::OkStatus();
  }

  // Digits with `_` in between; returns how many digits.
  size_t SkipDigits(bool hex) {
    size_t digits = 0;
    for (; !AtEnd(); ++at_) {
      const char c = text_[at_];
      if (hex ? absl::ascii_isxdigit(c) : absl::ascii_isdigit(c)) {
        ++digits;
      } else if (c != '_' || digits == 0) {
        break;
      }
    }
    return digits;
  }

  // `1h30m`: units falling, each at most once. Restores the place if it is none.
  bool ReadDuration(Token* token) {
    const size_t from = at_;
    size_t next_unit = 0;
    double seconds = 0;
    while (absl::ascii_isdigit(Peek(0))) {
      double number = 0;
      for (; absl::ascii_isdigit(Peek(0)); ++at_) number = number * 10 + (text_[at_] - '0');
      const absl::string_view rest = text_.substr(at_);
      size_t unit = next_unit;
      while (unit < kUnits.size() &&
             !(absl::StartsWith(rest, kUnits[unit].text) &&
               !(kUnits[unit].text == "m" && absl::StartsWith(rest, "ms")))) {
        ++unit;
      }
      if (unit == kUnits.size()) {
        at_ = from;
        return false;
      }
      at_ += kUnits[unit].text.size();
      seconds += number * kUnits[unit].seconds;
      next_unit = unit + 1;
    }
    const bool ends =
        AtEnd() || text_[at_] == ':' || (text_[at_] != '.' && !ContinuesName(text_[at_]));
    if (at_ == from || !ends) {
      at_ = from;
      return false;
    }
    token->kind = TokenKind::kDuration;
    token->number = seconds;
    return true;
  }

  absl::Status ReadString(Token* token) {
    token->kind = TokenKind::kString;
    const char quote = text_[at_++];
    while (!AtEnd() && text_[at_] != quote) {
      const char c = text_[at_];
      if (quote != '`' && c == '\n') break;
      if (quote != '`' && c == '\\') {
        WHEELPIT_RETURN_IF_ERROR(ReadEscape(quote, &token->text));
        continue;
      }
      token->text.push_back(c);
      ++at_;
      if (c == '\n') {
        ++line_;
        line_start_ = at_;
      }
    }
    if (AtEnd() || text_[at_] != quote)
      return ParseError(token->position, "string without its closing quote");
    ++at_;
    return absl::OkStatus();
  }

  // Go's escapes.
  absl::Status ReadEscape(char quote, std::string* out) {
    const TextPosition position = Position();
    ++at_;
    const char c = Peek(0);
    static constexpr absl::string_view kLetters = "abfnrtv\\";
    static constexpr absl::string_view kMeaning = "\a\b\f\n\r\t\v\\";
    const size_t simple = c == '\0' ? absl::string_view::npos : kLetters.find(c);
    if (simple != absl::string_view::npos || (c == quote && !AtEnd())) {
      out->push_back(c == quote ? quote : kMeaning[simple]);
      ++at_;
      return absl::OkStatus();
    }
    size_t digits = 0;
    int base = 16;
    if (c == 'x') digits = 2;
    if (c == 'u') digits = 4;
    if (c == 'U') digits = 8;
    if (c >= '0' && c <= '7') {
      digits = 3;
      base = 8;
    } else {
      ++at_;
    }
    uint32_t code = 0;
    bool ok = digits > 0;
    for (size_t i = 0; ok && i < digits; ++i, ++at_) {
      const char d = Peek(0);
      ok = base == 8 ? (d >= '0' && d <= '7') : absl::ascii_isxdigit(d);
      if (!ok) break;
      const int value = absl::ascii_isdigit(d) ? d - '0' : absl::ascii_tolower(d) - 'a' + 10;
      code = code * static_cast<uint32_t>(base) + static_cast<uint32_t>(value);
    }
    const bool is_byte = c == 'x' || base == 8;
    ok = ok && (is_byte ? code <= 0xff : code <= 0x10ffff && (code < 0xd800 || code > 0xdfff));
    if (!ok) return ParseError(position, "bad escape in a string");
    if (is_byte) {
      out->push_back(static_cast<char>(code));
    } else {
      AppendUtf8(code, out);
    }
    return absl::OkStatus();
  }

  absl::Status ReadSymbol(Token* token) {
    static constexpr absl::string_view kPairs[] = {"=~", "!~", "==", "!=", "<=", ">="};
    static constexpr absl::string_view kSingles = "(){}[],=<>+-*/%^@";
    token->kind = TokenKind::kSymbol;
    const absl::string_view rest = text_.substr(at_);
    for (absl::string_view pair : kPairs) {
      if (absl::StartsWith(rest, pair)) {
        token->text = std::string(pair);
        at_ += 2;
        return absl::OkStatus();
      }
    }
    if (text_[at_] == '\0' || kSingles.find(text_[at_]) == absl::string_view::npos)
      return ParseError(token->position,
                        absl::StrCat("unexpected character ", Quoted(rest.substr(0, 1))));
    token->text = std::string(rest.substr(0, 1));
    ++at_;
    return absl::OkStatus();
  }

  const absl::string_view text_;
  size_t at_ = 0;
  uint32_t line_ = 1;
  size_t line_start_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<Token>> Tokenize(absl::string_view query) { return Lexer(query).Run(); }

absl::Status ParseError(TextPosition position, absl::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_QUERY",
                   absl::StrCat(position.line, ":", position.column, ": parse error: ", message));
}

}  // namespace wheelpit
