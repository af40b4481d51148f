#include "server/promql/ast.h"

#include <cmath>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/errors.h"
#include "base/options.h"

namespace wheelpit {
namespace {

std::string NumberText(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v > 0 ? "Inf" : "-Inf";
  std::string text = absl::StrFormat("%.15g", v);
  if (std::stod(text) != v) text = absl::StrFormat("%.17g", v);
  return text;
}

std::string MatchingText(const VectorMatching& m) {
  std::string out;
  if (m.given) absl::StrAppend(&out, " ", m.on ? "on" : "ignoring", " (", absl::StrJoin(m.labels, ", "), ")");
  if (m.group != VectorMatching::Group::kNone)
    absl::StrAppend(&out, m.group == VectorMatching::Group::kLeft ? " group_left" : " group_right", " (",
                    absl::StrJoin(m.include, ", "), ")");
  return out;
}

struct Printer {
  std::string operator()(const NumberExpr& e) const { return NumberText(e.value); }
  std::string operator()(const NegateExpr& e) const { return absl::StrCat("-", ExprText(*e.operand)); }
  std::string operator()(const BinaryExpr& e) const {
    return absl::StrCat("(", ExprText(*e.left), " ", BinaryOpText(e.op), e.return_bool ? " bool" : "",
                        MatchingText(e.matching), " ", ExprText(*e.right), ")");
  }
  std::string operator()(const AggregateExpr& e) const {
    std::string out(AggregateOpText(e.op));
    if (e.without || !e.labels.empty())
      absl::StrAppend(&out, e.without ? " without (" : " by (", absl::StrJoin(e.labels, ", "), ") ");
    absl::StrAppend(&out, "(", e.parameter != nullptr ? absl::StrCat(ExprText(*e.parameter), ", ") : "",
                    ExprText(*e.operand), ")");
    return out;
  }
  std::string operator()(const CallExpr& e) const {
    return absl::StrCat(e.name, "(", absl::StrJoin(e.args, ", ", [](std::string* out, const ExprPtr& arg) {
                          absl::StrAppend(out, ExprText(*arg));
                        }), ")");
  }
  std::string operator()(const Selector& s) const { return SelectorText(s); }
};

}  // namespace

bool IsSetOp(BinaryOp op) { return op <= BinaryOp::kUnless; }
bool IsComparison(BinaryOp op) { return op >= BinaryOp::kEqual && op <= BinaryOp::kGreaterEqual; }

absl::string_view BinaryOpText(BinaryOp op) {
  static constexpr absl::string_view kText[] = {"or", "and", "unless", "==", "!=", "<", ">", "<=",
                                                ">=", "+",   "-",      "*",  "/",  "%", "^"};
  return kText[static_cast<size_t>(op)];
}

absl::string_view AggregateOpText(AggregateOp op) {
  static constexpr absl::string_view kText[] = {"sum",  "avg",     "min",      "max",    "count", "group",
                                                "topk", "bottomk", "quantile", "stddev", "stdvar"};
  return kText[static_cast<size_t>(op)];
}

bool TakesParameter(AggregateOp op) {
  return op == AggregateOp::kTopk || op == AggregateOp::kBottomk || op == AggregateOp::kQuantile;
}

std::string ExprText(const Expr& expr) { return std::visit(Printer(), expr.node); }

std::string SelectorText(const Selector& s) {
  std::string out = s.name;
  if (!s.matchers.empty()) {
    absl::StrAppend(&out, "{", absl::StrJoin(s.matchers, ",", [](std::string* text, const Matcher& m) {
                      absl::StrAppend(text, m.label(), MatchOpText(m.op()), "\"",
                                      absl::Utf8SafeCEscape(m.value()), "\"");
                    }), "}");
  }
  if (s.range_ms != 0) absl::StrAppend(&out, "[", FormatDurationMs(s.range_ms), "]");
  if (s.range_mode == RangeMode::kAnchored) absl::StrAppend(&out, " anchored");
  if (s.range_mode == RangeMode::kSmoothed) absl::StrAppend(&out, " smoothed");
  if (s.offset_ms != 0)
    absl::StrAppend(&out, " offset ", s.offset_ms < 0 ? "-" : "", FormatDurationMs(std::abs(s.offset_ms)));
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
