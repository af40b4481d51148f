#include "server/promql/ast.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/errors.h"

namespace wheelpit {
namespace {

std::string NumberText(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v > 0 ? "Inf" : "-Inf";
  std::string text = absl::StrFormat("%.15g", v);
  if (std::strtod(text.c_str(), nullptr) != v) text = absl::StrFormat("%.17g", v);
  return text;
}

bool IsKeyword(absl::string_view word) {
  for (absl::string_view keyword : {"and", "or", "unless", "by", "without", "on", "ignoring",
                                    "group_left", "group_right", "bool", "offset", "inf", "nan"})
    if (absl::EqualsIgnoreCase(word, keyword)) return true;
  return false;
}

// Whether a name can stand without quotes.
bool IsPlain(absl::string_view name, bool colon_too) {
  if (name.empty() || absl::ascii_isdigit(name[0])) return false;
  return std::all_of(name.begin(), name.end(), [colon_too](char c) {
    return absl::ascii_isalnum(c) || c == '_' || (colon_too && c == ':');
  });
}

std::string StringText(absl::string_view value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n') {
      out += "\\n";
    } else if (absl::ascii_iscntrl(c)) {
      absl::StrAppend(&out, absl::StrFormat("\\x%02x", static_cast<uint8_t>(c)));
    } else {
      out.push_back(c);
    }
  }
  return out + "\"";
}

std::string LabelText(absl::string_view label) {
  return IsPlain(label, false) ? std::string(label) : StringText(label);
}

std::string LabelListText(const std::vector<std::string>& labels) {
  return absl::StrCat("(",
                      absl::StrJoin(labels, ", ",
                                    [](std::string* out, const std::string& label) {
                                      absl::StrAppend(out, LabelText(label));
                                    }),
                      ")");
}

std::string DurationText(int64_t ms) {
  std::string out;
  for (const auto& [unit, unit_ms] : {std::pair<absl::string_view, int64_t>{"h", 3'600'000},
                                      {"m", 60'000},
                                      {"s", 1000},
                                      {"ms", 1}}) {
    if (ms >= unit_ms) absl::StrAppend(&out, ms / unit_ms, unit);
    ms %= unit_ms;
  }
  return out.empty() ? "0s" : out;
}

std::string MatchingText(const VectorMatching& m) {
  std::string out;
  if (m.given) absl::StrAppend(&out, " ", m.on ? "on " : "ignoring ", LabelListText(m.labels));
  if (m.group != VectorMatching::Group::kNone)
    absl::StrAppend(&out,
                    m.group == VectorMatching::Group::kLeft ? " group_left " : " group_right ",
                    LabelListText(m.include));
  return out;
}

struct Printer {
  std::string operator()(const NumberExpr& e) const { return NumberText(e.value); }
  std::string operator()(const NegateExpr& e) const {
    return absl::StrCat("-", ExprText(*e.operand));
  }
  std::string operator()(const BinaryExpr& e) const {
    std::string left = ExprText(*e.left);
    // A sign binds looser than ^.
    if (e.op == BinaryOp::kPower && std::holds_alternative<NegateExpr>(e.left->node))
      left = absl::StrCat("(", left, ")");
    return absl::StrCat("(", left, " ", BinaryOpText(e.op), e.return_bool ? " bool" : "",
                        MatchingText(e.matching), " ", ExprText(*e.right), ")");
  }
  std::string operator()(const AggregateExpr& e) const {
    std::string out(AggregateOpText(e.op));
    if (e.without || !e.labels.empty())
      absl::StrAppend(&out, e.without ? " without " : " by ", LabelListText(e.labels), " ");
    absl::StrAppend(&out, "(",
                    e.parameter != nullptr ? absl::StrCat(ExprText(*e.parameter), ", ") : "",
                    ExprText(*e.operand), ")");
    return out;
  }
  std::string operator()(const CallExpr& e) const {
    return absl::StrCat(e.name, "(",
                        absl::StrJoin(e.args, ", ",
                                      [](std::string* out, const ExprPtr& arg) {
                                        absl::StrAppend(out, ExprText(*arg));
                                      }),
                        ")");
  }
  std::string operator()(const Selector& s) const { return SelectorText(s); }
};

}  // namespace

bool IsSetOp(BinaryOp op) { return op <= BinaryOp::kUnless; }
bool IsComparison(BinaryOp op) { return op >= BinaryOp::kEqual && op <= BinaryOp::kGreaterEqual; }

absl::string_view BinaryOpText(BinaryOp op) {
  static constexpr absl::string_view kText[] = {
      "or", "and", "unless", "==", "!=", "<", ">", "<=", ">=", "+", "-", "*", "/", "%", "^"};
  return kText[static_cast<size_t>(op)];
}

absl::string_view AggregateOpText(AggregateOp op) {
  static constexpr absl::string_view kText[] = {"sum",      "avg",    "min",   "max",
                                                "count",    "group",  "topk",  "bottomk",
                                                "quantile", "stddev", "stdvar"};
  return kText[static_cast<size_t>(op)];
}

bool TakesParameter(AggregateOp op) {
  return op == AggregateOp::kTopk || op == AggregateOp::kBottomk || op == AggregateOp::kQuantile;
}

std::string ExprText(const Expr& expr) { return std::visit(Printer(), expr.node); }

std::string SelectorText(const Selector& s) {
  const bool plain_name = s.name.empty() || (IsPlain(s.name, true) && !IsKeyword(s.name));
  std::vector<std::string> inside;
  if (!plain_name) inside.push_back(StringText(s.name));
  for (const Matcher& m : s.matchers)
    inside.push_back(
        absl::StrCat(LabelText(m.label()), MatchOpText(m.op()), StringText(m.value())));
  std::string out = plain_name ? s.name : "";
  if (!inside.empty()) absl::StrAppend(&out, "{", absl::StrJoin(inside, ","), "}");
  if (s.range_ms != 0) absl::StrAppend(&out, "[", DurationText(s.range_ms), "]");
  if (s.range_mode == RangeMode::kAnchored) absl::StrAppend(&out, " anchored");
  if (s.range_mode == RangeMode::kSmoothed) absl::StrAppend(&out, " smoothed");
  if (s.offset_ms != 0)
    absl::StrAppend(&out, " offset ", s.offset_ms < 0 ? "-" : "",
                    DurationText(std::abs(s.offset_ms)));
  if (s.at.has_value()) {
    switch (s.at->kind) {
      case AtModifier::Kind::kTime:
        absl::StrAppend(&out, " @ ", NumberText(s.at->time_s));
        break;
      case AtModifier::Kind::kStart:
        absl::StrAppend(&out, " @ start()");
        break;
      case AtModifier::Kind::kEnd:
        absl::StrAppend(&out, " @ end()");
        break;
    }
  }
  return out;
}

absl::Status ExecutionError(TextPosition position, absl::string_view message) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "EXECUTION",
                   absl::StrCat(position.line, ":", position.column, ": ", message));
}

}  // namespace wheelpit
