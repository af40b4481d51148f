#include "server/promql/matcher.h"

#include "absl/strings/str_cat.h"
#include "re2/re2.h"

namespace wheelpit {

absl::StatusOr<Matcher> Matcher::Create(absl::string_view label, MatchOp op,
                                        absl::string_view value) {
  Matcher m;
  m.label_ = std::string(label);
  m.op_ = op;
  m.value_ = std::string(value);
  if (op == MatchOp::kRegex || op == MatchOp::kNotRegex) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_dot_nl(true);
    options.set_never_capture(true);
    auto regex = std::make_shared<const re2::RE2>(m.value_, options);
    if (!regex->ok()) return absl::InvalidArgumentError(regex->error());
    m.regex_ = std::move(regex);
  }
  return m;
}

bool Matcher::Matches(absl::string_view value) const {
  switch (op_) {
    case MatchOp::kEqual:
      return value == value_;
    case MatchOp::kNotEqual:
      return value != value_;
    case MatchOp::kRegex:
      return re2::RE2::FullMatch(re2::StringPiece(value.data(), value.size()), *regex_);
    case MatchOp::kNotRegex:
      return !re2::RE2::FullMatch(re2::StringPiece(value.data(), value.size()), *regex_);
  }
  return false;
}

absl::string_view MatchOpText(MatchOp op) {
  switch (op) {
    case MatchOp::kEqual:
      return "=";
    case MatchOp::kNotEqual:
      return "!=";
    case MatchOp::kRegex:
      return "=~";
    case MatchOp::kNotRegex:
      return "!~";
  }
  return "=";
}

}  // namespace wheelpit
