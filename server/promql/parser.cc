#include "server/promql/parser.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "server/promql/lexer.h"

namespace wheelpit {
namespace {

constexpr absl::string_view kNameLabel = "__name__";
constexpr absl::string_view kReserved[] = {"and",         "or",   "unless",   "by",
                                           "without",     "on",   "ignoring", "group_left",
                                           "group_right", "bool", "offset"};

struct OpEntry {
  absl::string_view text;
  BinaryOp op;
  int precedence;
};
// `^` is read by ParsePower: it binds tighter than a sign and to the right.
constexpr OpEntry kOps[] = {
    {"or", BinaryOp::kOr, 1},           {"and", BinaryOp::kAnd, 2},
    {"unless", BinaryOp::kUnless, 2},   {"==", BinaryOp::kEqual, 3},
    {"!=", BinaryOp::kNotEqual, 3},     {"<", BinaryOp::kLess, 3},
    {">", BinaryOp::kGreater, 3},       {"<=", BinaryOp::kLessEqual, 3},
    {">=", BinaryOp::kGreaterEqual, 3}, {"+", BinaryOp::kAdd, 4},
    {"-", BinaryOp::kSubtract, 4},      {"*", BinaryOp::kMultiply, 5},
    {"/", BinaryOp::kDivide, 5},        {"%", BinaryOp::kModulo, 5},
};

int NodeDepth(const ExprPtr& e) { return e == nullptr ? 0 : e->depth; }

template <typename Node>
absl::StatusOr<ExprPtr> MakeExpr(TextPosition position, ValueType type, int child_depth,
                                 Node node) {
  if (child_depth + 1 > kQueryDepthMax)
    return ParseError(position, absl::StrCat("nested deeper than ", kQueryDepthMax));
  auto expr = std::make_unique<Expr>();
  expr->position = position;
  expr->type = type;
  expr->depth = child_depth + 1;
  expr->node = std::move(node);
  return ExprPtr(std::move(expr));
}

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  absl::StatusOr<ExprPtr> ParseAll() {
    WHEELPIT_ASSIGN_OR_RETURN(ExprPtr expr, ParseBinary(1));
    if (Now().kind != TokenKind::kEnd) return Unexpected("an operator or the end");
    return expr;
  }

 private:
  // --- tokens ---
  const Token& Now() const { return tokens_[at_]; }
  const Token& Ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& Take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  static bool IsSymbol(const Token& t, absl::string_view s) {
    return t.kind == TokenKind::kSymbol && t.text == s;
  }
  // Keywords are read in any case.
  static bool IsKeyword(const Token& t, absl::string_view word) {
    return t.kind == TokenKind::kIdentifier && absl::EqualsIgnoreCase(t.text, word);
  }
  bool TakeSymbol(absl::string_view s) {
    if (!IsSymbol(Now(), s)) return false;
    Take();
    return true;
  }
  bool TakeKeyword(absl::string_view word) {
    if (!IsKeyword(Now(), word)) return false;
    Take();
    return true;
  }
  absl::Status Unexpected(absl::string_view wanted) const {
    const Token& t = Now();
    std::string seen = "end of the query";
    if (t.kind == TokenKind::kString) seen = absl::StrCat("string ", Quoted(t.text));
    if (t.kind == TokenKind::kNumber || t.kind == TokenKind::kDuration) seen = "number";
    if (t.kind == TokenKind::kIdentifier || t.kind == TokenKind::kSymbol) seen = Quoted(t.text);
    return ParseError(t.position, absl::StrCat("unexpected ", seen, ", wanted ", wanted));
  }
  absl::Status Need(absl::string_view symbol) {
    if (TakeSymbol(symbol)) return absl::OkStatus();
    return Unexpected(Quoted(symbol));
  }

  // --- expressions, loosest first ---
  const OpEntry* NowOp() const {
    if (Now().kind != TokenKind::kSymbol && Now().kind != TokenKind::kIdentifier) return nullptr;
    for (const OpEntry& entry : kOps)
      if (absl::EqualsIgnoreCase(Now().text, entry.text)) return &entry;
    return nullptr;
  }

  absl::StatusOr<ExprPtr> ParseBinary(int precedence_min) {
    WHEELPIT_ASSIGN_OR_RETURN(ExprPtr left, ParseUnary());
    for (const OpEntry* entry = NowOp(); entry != nullptr && entry->precedence >= precedence_min;
         entry = NowOp()) {
      const TextPosition position = Take().position;
      BinaryExpr node;
      node.op = entry->op;
      WHEELPIT_RETURN_IF_ERROR(ParseBinaryModifiers(&node));
      WHEELPIT_ASSIGN_OR_RETURN(node.right, ParseBinary(entry->precedence + 1));
      node.left = std::move(left);
      WHEELPIT_ASSIGN_OR_RETURN(left, FinishBinary(position, std::move(node)));
    }
    return left;
  }

  absl::StatusOr<ExprPtr> ParseUnary() {
    const DepthGuard guard(this);
    if (nesting_ > kQueryDepthMax)
      return ParseError(Now().position, absl::StrCat("nested deeper than ", kQueryDepthMax));
    if (!IsSymbol(Now(), "+") && !IsSymbol(Now(), "-")) return ParsePower();
    const bool negate = Now().text == "-";
    const TextPosition position = Take().position;
    WHEELPIT_ASSIGN_OR_RETURN(ExprPtr operand, ParseUnary());
    if (!negate) return operand;
    const ValueType type = operand->type;
    const int depth = NodeDepth(operand);
    return MakeExpr(position, type, depth, NegateExpr{std::move(operand)});
  }

  absl::StatusOr<ExprPtr> ParsePower() {
    WHEELPIT_ASSIGN_OR_RETURN(ExprPtr base, ParsePrimary());
    if (!IsSymbol(Now(), "^")) return base;
    const TextPosition position = Take().position;
    BinaryExpr node;
    node.op = BinaryOp::kPower;
    WHEELPIT_RETURN_IF_ERROR(ParseBinaryModifiers(&node));
    WHEELPIT_ASSIGN_OR_RETURN(node.right, ParseUnary());
    node.left = std::move(base);
    return FinishBinary(position, std::move(node));
  }

  absl::Status ParseBinaryModifiers(BinaryExpr* node) {
    if (IsKeyword(Now(), "bool")) {
      if (!IsComparison(node->op))
        return ParseError(Now().position, "bool stands only after a comparison");
      Take();
      node->return_bool = true;
    }
    if (IsKeyword(Now(), "on") || IsKeyword(Now(), "ignoring")) {
      node->matching.given = true;
      node->matching.on = IsKeyword(Take(), "on");
      WHEELPIT_RETURN_IF_ERROR(ParseLabelList(&node->matching.labels));
    }
    if (IsKeyword(Now(), "group_left") || IsKeyword(Now(), "group_right")) {
      if (IsSetOp(node->op))
        return ParseError(Now().position,
                          absl::StrCat("no grouping with ", BinaryOpText(node->op)));
      node->matching.group = IsKeyword(Take(), "group_left") ? VectorMatching::Group::kLeft
                                                             : VectorMatching::Group::kRight;
      if (IsSymbol(Now(), "(")) WHEELPIT_RETURN_IF_ERROR(ParseLabelList(&node->matching.include));
    }
    return absl::OkStatus();
  }

  static absl::StatusOr<ExprPtr> FinishBinary(TextPosition position, BinaryExpr node) {
    const bool left_vector = node.left->type == ValueType::kVector;
    const bool right_vector = node.right->type == ValueType::kVector;
    const absl::string_view op = BinaryOpText(node.op);
    if (IsSetOp(node.op) && !(left_vector && right_vector))
      return ParseError(position, absl::StrCat(op, " needs an instant vector on both sides"));
    if (!left_vector && !right_vector && IsComparison(node.op) && !node.return_bool)
      return ParseError(position,
                        absl::StrCat("a comparison of numbers needs bool: ", op, " bool"));
    if ((node.matching.given || node.matching.group != VectorMatching::Group::kNone) &&
        !(left_vector && right_vector))
      return ParseError(position, "on, ignoring and grouping need an instant vector on both sides");
    const ValueType type = left_vector || right_vector ? ValueType::kVector : ValueType::kScalar;
    const int depth = std::max(NodeDepth(node.left), NodeDepth(node.right));
    return MakeExpr(position, type, depth, std::move(node));
  }

  absl::StatusOr<ExprPtr> ParsePrimary() {
    const Token& t = Now();
    switch (t.kind) {
      case TokenKind::kNumber:
      case TokenKind::kDuration:
        Take();
        return MakeExpr(t.position, ValueType::kScalar, 0, NumberExpr{t.number});
      case TokenKind::kSymbol:
        if (t.text == "(") {
          Take();
          WHEELPIT_ASSIGN_OR_RETURN(ExprPtr inner, ParseBinary(1));
          WHEELPIT_RETURN_IF_ERROR(Need(")"));
          return inner;
        }
        if (t.text == "{") return ParseVector();
        return Unexpected("an expression");
      case TokenKind::kIdentifier:
        return ParseWord();
      case TokenKind::kString:
      case TokenKind::kEnd:
        return Unexpected("an expression");
    }
    return Unexpected("an expression");
  }

  absl::StatusOr<ExprPtr> ParseWord() {
    const Token& t = Now();
    for (int i = 0; i <= static_cast<int>(AggregateOp::kStdvar); ++i) {
      const auto op = static_cast<AggregateOp>(i);
      if (IsKeyword(t, AggregateOpText(op)) &&
          (IsSymbol(Ahead(), "(") || IsKeyword(Ahead(), "by") || IsKeyword(Ahead(), "without")))
        return ParseAggregate(op);
    }
    for (absl::string_view word : kReserved)
      if (IsKeyword(t, word)) return Unexpected("an expression");
    if (IsSymbol(Ahead(), "(")) return ParseCall();
    if (absl::EqualsIgnoreCase(t.text, "inf") || absl::EqualsIgnoreCase(t.text, "nan")) {
      Take();
      const double value = absl::EqualsIgnoreCase(t.text, "inf")
                               ? std::numeric_limits<double>::infinity()
                               : std::nan("");
      return MakeExpr(t.position, ValueType::kScalar, 0, NumberExpr{value});
    }
    return ParseVector();
  }

  absl::StatusOr<ExprPtr> ParseAggregate(AggregateOp op) {
    const TextPosition position = Take().position;
    AggregateExpr node;
    node.op = op;
    bool grouped = false;
    WHEELPIT_RETURN_IF_ERROR(ParseGrouping(&node, &grouped));
    WHEELPIT_RETURN_IF_ERROR(Need("("));
    WHEELPIT_ASSIGN_OR_RETURN(ExprPtr first, ParseBinary(1));
    if (IsSymbol(Now(), ",") && !TakesParameter(op))
      return ParseError(Now().position, absl::StrCat(AggregateOpText(op), " takes one argument"));
    if (TakeSymbol(",")) {
      node.parameter = std::move(first);
      WHEELPIT_ASSIGN_OR_RETURN(node.operand, ParseBinary(1));
    } else {
      node.operand = std::move(first);
    }
    WHEELPIT_RETURN_IF_ERROR(Need(")"));
    if (!grouped) WHEELPIT_RETURN_IF_ERROR(ParseGrouping(&node, &grouped));
    if (TakesParameter(op) && node.parameter == nullptr)
      return ParseError(position,
                        absl::StrCat(AggregateOpText(op), " takes a number and a vector"));
    if (node.parameter != nullptr && node.parameter->type != ValueType::kScalar)
      return ParseError(node.parameter->position, "wanted a number");
    if (node.operand->type != ValueType::kVector)
      return ParseError(node.operand->position,
                        absl::StrCat(AggregateOpText(op), " needs an instant vector, not ",
                                     ValueTypeName(node.operand->type)));
    const int depth = std::max(NodeDepth(node.parameter), NodeDepth(node.operand));
    return MakeExpr(position, ValueType::kVector, depth, std::move(node));
  }

  absl::Status ParseGrouping(AggregateExpr* node, bool* grouped) {
    if (!IsKeyword(Now(), "by") && !IsKeyword(Now(), "without")) return absl::OkStatus();
    *grouped = true;
    node->without = IsKeyword(Take(), "without");
    WHEELPIT_RETURN_IF_ERROR(ParseLabelList(&node->labels));
    std::sort(node->labels.begin(), node->labels.end());
    node->labels.erase(std::unique(node->labels.begin(), node->labels.end()), node->labels.end());
    return absl::OkStatus();
  }

  absl::Status ParseLabelList(std::vector<std::string>* labels) {
    WHEELPIT_RETURN_IF_ERROR(Need("("));
    while (!IsSymbol(Now(), ")")) {
      const Token& t = Now();
      const bool name = t.kind == TokenKind::kIdentifier && !absl::StrContains(t.text, ":");
      if (!name && (t.kind != TokenKind::kString || t.text.empty()))
        return Unexpected("a label name");
      labels->push_back(Take().text);
      if (!TakeSymbol(",") && !IsSymbol(Now(), ")")) return Unexpected("\",\" or \")\"");
    }
    return Need(")");
  }

  absl::StatusOr<ExprPtr> ParseCall() {
    const Token name = Take();
    CallExpr node;
    node.name = name.text;
    const FunctionSpec* spec = FindFunction(name.text);
    WHEELPIT_RETURN_IF_ERROR(Need("("));
    int depth = 0;
    while (!IsSymbol(Now(), ")")) {
      WHEELPIT_ASSIGN_OR_RETURN(ExprPtr arg, ParseBinary(1));
      if (spec != nullptr && node.args.size() < spec->args.size() &&
          arg->type != spec->args[node.args.size()]) {
        const ValueType wanted = spec->args[node.args.size()];
        return ParseError(arg->position,
                          absl::StrCat(name.text, " needs ", ValueTypeName(wanted),
                                       wanted == ValueType::kRange ? " such as x_total[30s]" : "",
                                       " here, not ", ValueTypeName(arg->type)));
      }
      depth = std::max(depth, NodeDepth(arg));
      node.args.push_back(std::move(arg));
      if (!TakeSymbol(",") && !IsSymbol(Now(), ")")) return Unexpected("\",\" or \")\"");
    }
    WHEELPIT_RETURN_IF_ERROR(Need(")"));
    ValueType type = ValueType::kVector;
    if (spec != nullptr) {
      if (node.args.size() < spec->args_min || node.args.size() > spec->args.size())
        return ParseError(
            name.position,
            absl::StrCat(
                name.text, " takes ", spec->args_min,
                spec->args_min == spec->args.size() ? "" : absl::StrCat(" to ", spec->args.size()),
                spec->args.size() == 1 ? " argument" : " arguments", ", not ", node.args.size()));
      node.function = spec->function;
      type = spec->returns;
    }
    return MakeExpr(name.position, type, depth, std::move(node));
  }

  // --- selectors ---
  absl::StatusOr<ExprPtr> ParseVector() {
    const TextPosition position = Now().position;
    Selector selector;
    if (Now().kind == TokenKind::kIdentifier) selector.name = Take().text;
    if (TakeSymbol("{")) WHEELPIT_RETURN_IF_ERROR(ParseMatchers(&selector));
    if (selector.name.empty() && std::all_of(selector.matchers.begin(), selector.matchers.end(),
                                             [](const Matcher& m) { return m.Matches(""); }))
      return ParseError(position,
                        "a selector needs a name or a matcher that does not match an empty value");
    if (IsSymbol(Now(), "[")) WHEELPIT_RETURN_IF_ERROR(ParseRange(&selector));
    WHEELPIT_RETURN_IF_ERROR(ParseModifiers(&selector));
    const ValueType type = selector.range_ms > 0 ? ValueType::kRange : ValueType::kVector;
    return MakeExpr(position, type, 0, std::move(selector));
  }

  absl::Status ParseMatchers(Selector* selector) {
    while (!IsSymbol(Now(), "}")) {
      WHEELPIT_RETURN_IF_ERROR(ParseMatcher(selector));
      if (!TakeSymbol(",") && !IsSymbol(Now(), "}")) return Unexpected("\",\" or \"}\"");
    }
    return Need("}");
  }

  absl::Status ParseMatcher(Selector* selector) {
    const Token label = Now();
    const bool is_name =
        label.kind == TokenKind::kIdentifier && !absl::StrContains(label.text, ":");
    if (!is_name && label.kind != TokenKind::kString) return Unexpected("a label name");
    Take();
    static constexpr std::pair<absl::string_view, MatchOp> kMatchOps[] = {
        {"=", MatchOp::kEqual},
        {"!=", MatchOp::kNotEqual},
        {"=~", MatchOp::kRegex},
        {"!~", MatchOp::kNotRegex}};
    const auto* op =
        std::find_if(std::begin(kMatchOps), std::end(kMatchOps),
                     [this](const auto& entry) { return IsSymbol(Now(), entry.first); });
    if (op == std::end(kMatchOps)) {
      // A quoted string alone is the metric's name.
      if (label.kind == TokenKind::kString && (IsSymbol(Now(), ",") || IsSymbol(Now(), "}")))
        return SetName(label, label.text, selector);
      return Unexpected("one of = != =~ !~");
    }
    Take();
    if (Now().kind != TokenKind::kString) return Unexpected("a quoted value");
    const Token value = Take();
    if (label.text.empty()) return ParseError(label.position, "empty label name");
    if (label.text == kNameLabel && op->second == MatchOp::kEqual)
      return SetName(label, value.text, selector);
    absl::StatusOr<Matcher> matcher = Matcher::Create(label.text, op->second, value.text);
    if (!matcher.ok())
      return ParseError(value.position, absl::StrCat("bad regular expression ", Quoted(value.text),
                                                     ": ", matcher.status().message()));
    selector->matchers.push_back(*std::move(matcher));
    return absl::OkStatus();
  }

  static absl::Status SetName(const Token& at, const std::string& name, Selector* selector) {
    if (!selector->name.empty()) return ParseError(at.position, "the metric name is given twice");
    if (name.empty()) return ParseError(at.position, "empty metric name");
    selector->name = name;
    return absl::OkStatus();
  }

  // Seconds; a bare number counts seconds.
  absl::StatusOr<double> ParseDuration() {
    const Token& t = Now();
    if (t.kind != TokenKind::kDuration && t.kind != TokenKind::kNumber)
      return Unexpected("a duration such as 30s");
    Take();
    // Below 2^53 ms, and NaN fails.
    if (!(t.number >= 0 && t.number < 9e12)) return ParseError(t.position, "duration out of range");
    return t.number;
  }

  absl::Status ParseRange(Selector* selector) {
    Take();
    const TextPosition position = Now().position;
    WHEELPIT_ASSIGN_OR_RETURN(const double seconds, ParseDuration());
    selector->range_ms = std::llround(seconds * 1000);
    if (selector->range_ms <= 0) return ParseError(position, "a range must be longer than 0");
    if (Now().kind == TokenKind::kIdentifier && absl::StartsWith(Now().text, ":"))
      return ParseError(Now().position, "subqueries are not supported");
    WHEELPIT_RETURN_IF_ERROR(Need("]"));
    if (TakeKeyword("anchored")) {
      selector->range_mode = RangeMode::kAnchored;
    } else if (TakeKeyword("smoothed")) {
      selector->range_mode = RangeMode::kSmoothed;
    }
    return absl::OkStatus();
  }

  absl::Status ParseModifiers(Selector* selector) {
    bool offset_given = false;
    for (;;) {
      const TextPosition position = Now().position;
      if (IsKeyword(Now(), "offset")) {
        if (offset_given) return ParseError(position, "offset is given twice");
        offset_given = true;
        Take();
        const bool negative = TakeSymbol("-");
        WHEELPIT_ASSIGN_OR_RETURN(const double seconds, ParseDuration());
        selector->offset_ms = std::llround(seconds * 1000) * (negative ? -1 : 1);
      } else if (IsSymbol(Now(), "@")) {
        if (selector->at.has_value()) return ParseError(position, "@ is given twice");
        Take();
        WHEELPIT_RETURN_IF_ERROR(ParseAt(selector));
      } else {
        return absl::OkStatus();
      }
    }
  }

  absl::Status ParseAt(Selector* selector) {
    AtModifier at;
    if (IsKeyword(Now(), "start") || IsKeyword(Now(), "end")) {
      at.kind = IsKeyword(Take(), "start") ? AtModifier::Kind::kStart : AtModifier::Kind::kEnd;
      WHEELPIT_RETURN_IF_ERROR(Need("("));
      WHEELPIT_RETURN_IF_ERROR(Need(")"));
    } else {
      const bool negative = TakeSymbol("-");
      if (!negative) TakeSymbol("+");
      if (Now().kind != TokenKind::kNumber && Now().kind != TokenKind::kDuration)
        return Unexpected("a time in seconds, start() or end()");
      at.time_s = Take().number * (negative ? -1 : 1);
    }
    selector->at = at;
    return absl::OkStatus();
  }

  struct DepthGuard {
    explicit DepthGuard(Parser* p) : parser(p) { ++parser->nesting_; }
    ~DepthGuard() { --parser->nesting_; }
    Parser* const parser;
  };

  const std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
};

struct SupportCheck {
  TextPosition position;

  absl::Status operator()(const NumberExpr&) const { return absl::OkStatus(); }
  absl::Status operator()(const NegateExpr& e) const { return CheckSupported(*e.operand); }
  absl::Status operator()(const BinaryExpr& e) const {
    if (e.matching.group != VectorMatching::Group::kNone)
      return ExecutionError(position, "unsupported: group_left and group_right");
    WHEELPIT_RETURN_IF_ERROR(CheckSupported(*e.left));
    return CheckSupported(*e.right);
  }
  absl::Status operator()(const AggregateExpr& e) const {
    if (e.op > AggregateOp::kGroup)
      return ExecutionError(position,
                            absl::StrCat("unsupported aggregation ", AggregateOpText(e.op)));
    return CheckSupported(*e.operand);
  }
  absl::Status operator()(const CallExpr& e) const {
    if (e.function == Function::kUnsupported)
      return ExecutionError(position, absl::StrCat("unsupported function ", Quoted(e.name)));
    for (const ExprPtr& arg : e.args) WHEELPIT_RETURN_IF_ERROR(CheckSupported(*arg));
    return absl::OkStatus();
  }
  absl::Status operator()(const Selector& s) const {
    constexpr int64_t kHourMs = 3'600'000;
    if (s.at.has_value())
      return ExecutionError(position, "unsupported modifier @: only the present is kept");
    if (s.range_mode != RangeMode::kPlain)
      return ExecutionError(
          position, "unsupported: anchored and smoothed; live windows are exact without them");
    if (s.offset_ms < 0)
      return ExecutionError(position, "offset must not be negative: the future is unknown");
    // Each alone first, so that the sum cannot overflow.
    if (s.range_ms > kHourMs || s.offset_ms > kHourMs || s.range_ms + s.offset_ms > kHourMs)
      return ExecutionError(
          position, "range and offset together reach back more than 1h, the longest live window");
    return absl::OkStatus();
  }
};

}  // namespace

absl::StatusOr<ExprPtr> ParseExpr(absl::string_view query) {
  if (query.size() > kQueryBytesMax)
    return ParseError({},
                      absl::StrCat("query of ", query.size(), " bytes, limit ", kQueryBytesMax));
  WHEELPIT_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(query));
  WHEELPIT_ASSIGN_OR_RETURN(ExprPtr expr, Parser(std::move(tokens)).ParseAll());
  if (expr->type == ValueType::kRange)
    return ParseError(expr->position, "a range vector stands only in a function such as rate");
  return expr;
}

absl::StatusOr<Selector> ParseSelector(absl::string_view text) {
  WHEELPIT_ASSIGN_OR_RETURN(const ExprPtr expr, ParseExpr(text));
  const auto* selector = std::get_if<Selector>(&expr->node);
  if (selector == nullptr || selector->offset_ms != 0 || selector->at.has_value())
    return ParseError(expr->position, "wanted a series selector alone");
  return *selector;
}

absl::Status CheckSupported(const Expr& expr) {
  return std::visit(SupportCheck{expr.position}, expr.node);
}

}  // namespace wheelpit
