// The syntax tree of a PromQL expression. Immutable once parsed; any thread may read it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/promql/functions.h"
#include "server/promql/matcher.h"

namespace wheelpit {

// Both from 1; columns count bytes.
struct TextPosition {
  uint32_t line = 1;
  uint32_t column = 1;
};

struct Expr;
using ExprPtr = std::unique_ptr<const Expr>;

enum class BinaryOp {
  kOr,
  kAnd,
  kUnless,
  kEqual,
  kNotEqual,
  kLess,
  kGreater,
  kLessEqual,
  kGreaterEqual,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kModulo,
  kPower,
};
bool IsSetOp(BinaryOp op);
bool IsComparison(BinaryOp op);
absl::string_view BinaryOpText(BinaryOp op);

enum class AggregateOp {
  kSum,
  kAvg,
  kMin,
  kMax,
  kCount,
  kGroup,
  kTopk,
  kBottomk,
  kQuantile,
  kStddev,
  kStdvar,
};
absl::string_view AggregateOpText(AggregateOp op);
// topk, bottomk and quantile.
bool TakesParameter(AggregateOp op);

struct NumberExpr {
  double value = 0;
};

struct NegateExpr {
  ExprPtr operand;
};

// `on (a, b)` / `ignoring (a, b)`, `group_left (…)` / `group_right (…)`.
struct VectorMatching {
  bool given = false;
  bool on = false;
  std::vector<std::string> labels;
  enum class Group { kNone, kLeft, kRight } group = Group::kNone;
  std::vector<std::string> include;
};

struct BinaryExpr {
  BinaryOp op = BinaryOp::kAdd;
  bool return_bool = false;
  VectorMatching matching;
  ExprPtr left, right;
};

struct AggregateExpr {
  AggregateOp op = AggregateOp::kSum;
  bool without = false;
  std::vector<std::string> labels;  // sorted, unique
  ExprPtr parameter;                // may be null
  ExprPtr operand;
};

struct CallExpr {
  std::string name;
  Function function = Function::kUnsupported;
  std::vector<ExprPtr> args;
};

enum class RangeMode { kPlain, kAnchored, kSmoothed };

struct AtModifier {
  enum class Kind { kTime, kStart, kEnd } kind = Kind::kTime;
  double time_s = 0;
};

struct Selector {
  // Set if a matcher fixes the name; it is then not among `matchers`.
  std::string name;
  // The others, those on __name__ included.
  std::vector<Matcher> matchers;
  int64_t range_ms = 0;  // 0 = instant
  RangeMode range_mode = RangeMode::kPlain;
  int64_t offset_ms = 0;
  std::optional<AtModifier> at;
};

struct Expr {
  TextPosition position;
  ValueType type = ValueType::kScalar;
  int depth = 1;
  std::variant<NumberExpr, NegateExpr, BinaryExpr, AggregateExpr, CallExpr, Selector> node;
};

// The tree as text with every binary operation in parentheses: what tests and messages compare.
std::string ExprText(const Expr& expr);
std::string SelectorText(const Selector& selector);

// kFailedPrecondition EXECUTION, `1:7: …`.
absl::Status ExecutionError(TextPosition position, absl::string_view message);

}  // namespace wheelpit
