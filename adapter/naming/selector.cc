#include "adapter/naming/selector.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "adapter/naming/go_text.h"
#include "base/status_macros.h"

namespace wheelpit::adapter {
namespace {

constexpr char kQualifiedName[] = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
constexpr char kQualifiedNameText[] =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character";
constexpr char kLabelValue[] = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
constexpr char kSubdomain[] = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";

// Kubernetes' own words, doubled blanks included.
std::string RegexError(absl::string_view text, absl::string_view regex,
                       const std::vector<std::string>& examples) {
  std::string out = absl::StrCat(text, " (e.g. ");
  for (size_t i = 0; i < examples.size(); ++i)
    absl::StrAppend(&out, i > 0 ? " or " : "", "'", examples[i], "', ");
  return absl::StrCat(out, "regex used for validation is '", regex, "')");
}

bool FullMatch(absl::string_view text, const RE2& re) {
  return RE2::FullMatch(re2::StringPiece(text.data(), text.size()), re);
}

std::vector<std::string> QualifiedNameErrors(absl::string_view key) {
  static const RE2* const name_re = new RE2(kQualifiedName, GoRegexOptions());
  static const RE2* const subdomain_re = new RE2(kSubdomain, GoRegexOptions());
  std::vector<std::string> errors;
  const std::vector<absl::string_view> parts = absl::StrSplit(key, '/');
  const std::string name_error =
      RegexError(kQualifiedNameText, kQualifiedName, {"MyName", "my.name", "123-abc"});
  if (parts.size() > 2) {
    return {
        absl::StrCat("a qualified name ", name_error,
                     " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')")};
  }
  if (parts.size() == 2) {
    if (parts[0].empty()) {
      errors.push_back("prefix part must be non-empty");
    } else {
      if (parts[0].size() > 253)
        errors.push_back("prefix part must be no more than 253 characters");
      if (!FullMatch(parts[0], *subdomain_re)) {
        errors.push_back(
            RegexError("prefix part a lowercase RFC 1123 subdomain must consist of lower case "
                       "alphanumeric characters, '-' or '.', and "
                       "must start and end with an alphanumeric character",
                       kSubdomain, {"example.com"}));
      }
    }
  }
  const absl::string_view name = parts.back();
  if (name.empty()) {
    errors.push_back("name part must be non-empty");
  } else if (name.size() > 63) {
    errors.push_back("name part must be no more than 63 characters");
  }
  if (!FullMatch(name, *name_re)) errors.push_back(absl::StrCat("name part ", name_error));
  return errors;
}

std::vector<std::string> LabelValueErrors(absl::string_view value) {
  static const RE2* const re = new RE2(kLabelValue, GoRegexOptions());
  std::vector<std::string> errors;
  if (value.size() > 63) errors.push_back("must be no more than 63 characters");
  if (!FullMatch(value, *re)) {
    errors.push_back(
        RegexError("a valid label must be an empty string or consist of alphanumeric characters, "
                   "'-', '_' or '.', "
                   "and must start and end with an alphanumeric character",
                   kLabelValue, {"MyValue", "my_value", "12345"}));
  }
  return errors;
}

std::string InvalidValue(absl::string_view path, absl::string_view value,
                         const std::vector<std::string>& errors) {
  return absl::StrCat(path, ": Invalid value: ", GoQuote(value), ": ", absl::StrJoin(errors, "; "));
}

enum class Token {
  kError,
  kEnd,
  kClose,
  kComma,
  kNot,
  kDoubleEquals,
  kEquals,
  kGreater,
  kIdentifier,
  kIn,
  kLess,
  kNotEquals,
  kNotIn,
  kOpen
};

struct Item {
  Token token;
  std::string literal;
};

const std::map<std::string, Token>& Keywords() {
  static const auto* const keywords = new std::map<std::string, Token>{
      {")", Token::kClose},         {",", Token::kComma},  {"!", Token::kNot},
      {"==", Token::kDoubleEquals}, {"=", Token::kEquals}, {">", Token::kGreater},
      {"in", Token::kIn},           {"<", Token::kLess},   {"!=", Token::kNotEquals},
      {"notin", Token::kNotIn},     {"(", Token::kOpen}};
  return *keywords;
}

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool IsSpecial(char c) { return absl::string_view("=!(),><").find(c) != absl::string_view::npos; }

class Lexer {
 public:
  explicit Lexer(absl::string_view text) : rest_(text) {}

  std::vector<Item> All() {
    std::vector<Item> items;
    do {
      items.push_back(Next());
    } while (items.back().token != Token::kEnd);
    return items;
  }

 private:
  Item Next() {
    while (!rest_.empty() && IsSpace(rest_[0])) rest_.remove_prefix(1);
    // A zero byte ends the text, as it does there.
    if (rest_.empty() || rest_[0] == '\0') return {Token::kEnd, ""};
    return IsSpecial(rest_[0]) ? Special() : Word();
  }

  // The longest operator; with none known so far, further special characters are taken too.
  Item Special() {
    Item last{Token::kError, ""};
    std::string buffer;
    while (!rest_.empty() && IsSpecial(rest_[0])) {
      buffer += rest_[0];
      if (auto it = Keywords().find(buffer); it != Keywords().end()) {
        last = {it->second, buffer};
      } else if (last.token != Token::kError) {
        break;
      }
      rest_.remove_prefix(1);
    }
    if (last.token == Token::kError)
      last.literal = absl::StrCat("error expected: keyword found '", buffer, "'");
    return last;
  }

  Item Word() {
    size_t end = 0;
    while (end < rest_.size() && rest_[end] != '\0' && !IsSpecial(rest_[end]) &&
           !IsSpace(rest_[end]))
      ++end;
    std::string word(rest_.substr(0, end));
    rest_.remove_prefix(end);
    const auto it = Keywords().find(word);
    return {it == Keywords().end() ? Token::kIdentifier : it->second, std::move(word)};
  }

  absl::string_view rest_;
};

absl::Status Found(const Item& item, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat("found '", item.literal, "'", expected));
}

class Parser {
 public:
  explicit Parser(absl::string_view text) : items_(Lexer(text).All()) {}

  absl::StatusOr<std::vector<Requirement>> Parse() {
    std::vector<Requirement> requirements;
    while (true) {
      const Item first = Peek();
      if (first.token == Token::kEnd) return requirements;
      if (first.token != Token::kIdentifier && first.token != Token::kNot) {
        return Found(first, ", expected: !, identifier, or 'end of string'");
      }
      absl::StatusOr<Requirement> requirement = ParseRequirement();
      if (!requirement.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat("unable to parse requirement: ", requirement.status().message()));
      }
      requirements.push_back(*std::move(requirement));
      const Item separator = Take();
      if (separator.token == Token::kEnd) return requirements;
      if (separator.token != Token::kComma)
        return Found(separator, ", expected: ',' or 'end of string'");
      const Item next = Peek();
      if (next.token != Token::kIdentifier && next.token != Token::kNot)
        return Found(next, ", expected: identifier after ','");
    }
  }

 private:
  // Where a value may stand, `in` and `notin` are words like any other.
  Item Peek(bool operators = false) const {
    Item item = items_[std::min(position_, items_.size() - 1)];
    if (!operators && (item.token == Token::kIn || item.token == Token::kNotIn))
      item.token = Token::kIdentifier;
    return item;
  }
  Item Take(bool operators = false) {
    Item item = Peek(operators);
    ++position_;
    return item;
  }

  absl::StatusOr<Requirement> ParseRequirement() {
    Item key = Take();
    const bool negated = key.token == Token::kNot;
    if (negated) key = Take();
    if (key.token != Token::kIdentifier) return Found(key, ", expected: identifier");
    if (const auto errors = QualifiedNameErrors(key.literal); !errors.empty()) {
      // The path is Go's nil, printed.
      return absl::InvalidArgumentError(InvalidValue("<nil>", key.literal, errors));
    }
    if (negated) return Requirement{key.literal, SelectorOperator::kDoesNotExist, {}};
    const Token next = Peek().token;
    if (next == Token::kEnd || next == Token::kComma)
      return Requirement{key.literal, SelectorOperator::kExists, {}};
    Requirement requirement{key.literal, SelectorOperator::kEquals, {}};
    WHEELPIT_ASSIGN_OR_RETURN(requirement.op, ParseOperator());
    std::set<std::string> values;
    if (requirement.op == SelectorOperator::kIn || requirement.op == SelectorOperator::kNotIn) {
      WHEELPIT_ASSIGN_OR_RETURN(values, ParseValues());
    } else {
      WHEELPIT_ASSIGN_OR_RETURN(values, ParseExactValue());
    }
    requirement.values.assign(values.begin(), values.end());
    WHEELPIT_RETURN_IF_ERROR(Validate(requirement));
    return requirement;
  }

  absl::StatusOr<SelectorOperator> ParseOperator() {
    const Item item = Take(/*operators=*/true);
    switch (item.token) {
      case Token::kEquals:
      case Token::kDoubleEquals:
        return SelectorOperator::kEquals;
      case Token::kNotEquals:
        return SelectorOperator::kNotEquals;
      case Token::kIn:
        return SelectorOperator::kIn;
      case Token::kNotIn:
        return SelectorOperator::kNotIn;
      case Token::kGreater:
        return SelectorOperator::kGreaterThan;
      case Token::kLess:
        return SelectorOperator::kLessThan;
      default:
        return Found(item, ", expected: in, notin, =, ==, !=, gt, lt");
    }
  }

  absl::StatusOr<std::set<std::string>> ParseValues() {
    const Item open = Take();
    if (open.token != Token::kOpen) return Found(open, " expected: '('");
    const Item first = Peek();
    if (first.token == Token::kClose) {
      Take();
      return std::set<std::string>{};
    }
    if (first.token != Token::kIdentifier && first.token != Token::kComma)
      return Found(first, ", expected: ',', ')' or identifier");
    WHEELPIT_ASSIGN_OR_RETURN(std::set<std::string> values, ParseList());
    if (Take().token != Token::kClose) return Found(first, ", expected: ')'");
    return values;
  }

  // `a,b`, `,x`, `a,,b`, `a,`: what is left out between commas is the empty value.
  absl::StatusOr<std::set<std::string>> ParseList() {
    std::set<std::string> values;
    while (true) {
      const Item item = Take();
      if (item.token == Token::kIdentifier) {
        values.insert(item.literal);
        const Item next = Peek();
        if (next.token == Token::kClose) return values;
        if (next.token != Token::kComma) return Found(next, ", expected: ',' or ')'");
      } else if (item.token == Token::kComma) {
        if (values.empty()) values.insert("");
        const Token next = Peek().token;
        if (next == Token::kClose) {
          values.insert("");
          return values;
        }
        if (next == Token::kComma) {
          Take();
          values.insert("");
        }
      } else {
        return Found(item, ", expected: ',', or identifier");
      }
    }
  }

  absl::StatusOr<std::set<std::string>> ParseExactValue() {
    const Token next = Peek().token;
    if (next == Token::kEnd || next == Token::kComma) return std::set<std::string>{""};
    const Item item = Take();
    if (item.token == Token::kIdentifier) return std::set<std::string>{item.literal};
    return Found(item, ", expected: identifier");
  }

  static absl::Status Validate(const Requirement& requirement) {
    std::vector<std::string> errors;
    const bool set =
        requirement.op == SelectorOperator::kIn || requirement.op == SelectorOperator::kNotIn;
    if (set && requirement.values.empty()) {
      errors.push_back(
          "values: Invalid value: []string{}: for 'in', 'notin' operators, values set can't be "
          "empty");
    }
    const bool number = requirement.op == SelectorOperator::kGreaterThan ||
                        requirement.op == SelectorOperator::kLessThan;
    int64_t ignored;
    if (number && !absl::SimpleAtoi(requirement.values[0], &ignored)) {
      errors.push_back(InvalidValue("values[0]", requirement.values[0],
                                    {"for 'Gt', 'Lt' operators, the value must be an integer"}));
    }
    for (size_t i = 0; i < requirement.values.size(); ++i) {
      if (const auto wrong = LabelValueErrors(requirement.values[i]); !wrong.empty()) {
        errors.push_back(InvalidValue(absl::StrCat("values[", i, "][", requirement.key, "]"),
                                      requirement.values[i], wrong));
      }
    }
    if (errors.empty()) return absl::OkStatus();
    if (errors.size() == 1) return absl::InvalidArgumentError(errors[0]);
    return absl::InvalidArgumentError(absl::StrCat("[", absl::StrJoin(errors, ", "), "]"));
  }

  const std::vector<Item> items_;
  size_t position_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<Requirement>> ParseSelector(absl::string_view text) {
  WHEELPIT_ASSIGN_OR_RETURN(std::vector<Requirement> requirements, Parser(text).Parse());
  std::stable_sort(requirements.begin(), requirements.end(),
                   [](const Requirement& a, const Requirement& b) { return a.key < b.key; });
  return requirements;
}

absl::StatusOr<std::vector<Matcher>> SelectorMatchers(
    const std::vector<Requirement>& requirements) {
  std::vector<Matcher> matchers;
  for (const Requirement& requirement : requirements) {
    const std::string joined = absl::StrJoin(requirement.values, "|");
    absl::string_view op;
    switch (requirement.op) {
      case SelectorOperator::kEquals:
        op = "=";
        break;
      case SelectorOperator::kNotEquals:
        op = "!=";
        break;
      case SelectorOperator::kIn:
        op = "=~";
        break;
      case SelectorOperator::kNotIn:
        op = "!~";
        break;
      case SelectorOperator::kExists:
        op = "!=";
        break;
      case SelectorOperator::kDoesNotExist:
        op = "=";
        break;
      case SelectorOperator::kGreaterThan:
      case SelectorOperator::kLessThan:
        return absl::UnimplementedError(
            absl::StrCat("label selector ", requirement.key,
                         requirement.op == SelectorOperator::kGreaterThan ? ">" : "<", joined,
                         ": PromQL has no such matcher; use =, !=, in or notin"));
    }
    matchers.push_back(
        {requirement.key, joined, absl::StrCat(requirement.key, op, GoQuote(joined))});
  }
  return matchers;
}

Matcher EqualsMatcher(absl::string_view label, absl::string_view value) {
  return {std::string(label), std::string(value), absl::StrCat(label, "=", GoQuote(value))};
}

}  // namespace wheelpit::adapter
