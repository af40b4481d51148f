#include "server/promql/exact_engine.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "server/promql/aggregation.h"
#include "server/promql/vector_ops.h"

namespace wheelpit {
namespace {

bool IsRate(Function f) {
  return f == Function::kRate || f == Function::kIrate || f == Function::kIncrease;
}

// NaN if any is NaN, as Go's math.Min and math.Max.
double MinOf(double a, double b) {
  return std::isnan(a) || std::isnan(b) ? std::nan("") : std::min(a, b);
}
double MaxOf(double a, double b) {
  return std::isnan(a) || std::isnan(b) ? std::nan("") : std::max(a, b);
}

// `args` are the numbers after the vector.
double ApplyFunction(Function function, double v, const std::vector<Value>& args) {
  switch (function) {
    case Function::kAbs:
      return std::abs(v);
    case Function::kCeil:
      return std::ceil(v);
    case Function::kFloor:
      return std::floor(v);
    case Function::kRound: {
      // Ties go up. Dividing by the inverse keeps round(x, 0.1) on the decimals.
      const double inverse = args.empty() ? 1 : 1 / args[0].scalar;
      return std::floor(v * inverse + 0.5) / inverse;
    }
    case Function::kClamp:
      return MaxOf(args[0].scalar, MinOf(args[1].scalar, v));
    case Function::kClampMin:
      return MaxOf(args[0].scalar, v);
    case Function::kClampMax:
      return MinOf(args[0].scalar, v);
    default:
      return v;
  }
}

}  // namespace

absl::StatusOr<Value> ExactEvaluation::Evaluate(const Expr& expr) {
  if (const auto* number = std::get_if<NumberExpr>(&expr.node)) return Value::Scalar(number->value);
  if (const auto* negate = std::get_if<NegateExpr>(&expr.node)) {
    WHEELPIT_ASSIGN_OR_RETURN(Value value, Evaluate(*negate->operand));
    value.scalar = -value.scalar;
    for (Element& e : value.vector) {
      e.value = -e.value;
      e.name.clear();
    }
    WHEELPIT_RETURN_IF_ERROR(CheckUnique(value.vector, expr.position));
    return value;
  }
  if (const auto* binary = std::get_if<BinaryExpr>(&expr.node)) {
    WHEELPIT_ASSIGN_OR_RETURN(Value left, Evaluate(*binary->left));
    WHEELPIT_ASSIGN_OR_RETURN(Value right, Evaluate(*binary->right));
    return ApplyBinary(*binary, expr.position, std::move(left), std::move(right));
  }
  if (const auto* aggregate = std::get_if<AggregateExpr>(&expr.node))
    return EvaluateAggregate(*aggregate);
  if (const auto* call = std::get_if<CallExpr>(&expr.node);
      call != nullptr && !IsRate(call->function))
    return EvaluateCall(*call, expr.position);
  return Collect(expr);
}

absl::StatusOr<bool> ExactEvaluation::Stream(const Expr& expr, Selection::Visit visit) {
  if (const auto* selector = std::get_if<Selector>(&expr.node)) {
    WHEELPIT_RETURN_IF_ERROR(selection_.Read(*selector, ReadAs::kInstant, expr.position, visit));
    return true;
  }
  const auto* call = std::get_if<CallExpr>(&expr.node);
  if (call == nullptr || !IsRate(call->function)) return false;
  const auto& selector = std::get<Selector>(call->args[0]->node);
  const ReadAs read_as = call->function == Function::kIncrease ? ReadAs::kIncrease : ReadAs::kRate;
  bool any = false;
  WHEELPIT_RETURN_IF_ERROR(
      selection_.Read(selector, read_as, expr.position, [&](const SelectedSample& sample) {
        any = true;
        visit(sample);
      }));
  if (any && !selector.name.empty()) NoteNotCounter(selector.name, expr.position);
  return true;
}

absl::StatusOr<Value> ExactEvaluation::Collect(const Expr& expr) {
  const bool keep_name = std::holds_alternative<Selector>(expr.node);
  std::vector<Element> out;
  WHEELPIT_ASSIGN_OR_RETURN(const bool streamed, Stream(expr, [&](const SelectedSample& sample) {
                              Element& e = out.emplace_back();
                              e.labels = sample.labels.ToLabels();
                              if (keep_name) e.name = std::string(sample.name);
                              e.value = sample.value;
                              e.certainty = sample.certainty;
                            }));
  if (!streamed) return absl::InternalError("expression without a rule");
  if (!keep_name) WHEELPIT_RETURN_IF_ERROR(CheckUnique(out, expr.position));
  return Value::Vector(std::move(out));
}

absl::StatusOr<Value> ExactEvaluation::EvaluateAggregate(const AggregateExpr& e) {
  Aggregation aggregation(e);
  const bool drop_name = !std::holds_alternative<Selector>(e.operand->node);
  WHEELPIT_ASSIGN_OR_RETURN(const bool streamed,
                            Stream(*e.operand, [&](const SelectedSample& sample) {
                              aggregation.Add(drop_name ? absl::string_view() : sample.name,
                                              sample.labels, sample.value, sample.certainty);
                            }));
  if (!streamed) {
    WHEELPIT_ASSIGN_OR_RETURN(const Value value, Evaluate(*e.operand));
    for (const Element& element : value.vector) aggregation.Add(element);
  }
  return Value::Vector(aggregation.Finish());
}

absl::StatusOr<Value> ExactEvaluation::EvaluateCall(const CallExpr& e, TextPosition position) {
  if (e.function == Function::kTime)
    return Value::Scalar(static_cast<double>(selection_.at_ms()) / 1000);
  if (e.function == Function::kAbsent) return EvaluateAbsent(e);
  WHEELPIT_ASSIGN_OR_RETURN(Value first, Evaluate(*e.args[0]));
  if (e.function == Function::kScalar) {
    if (first.vector.size() != 1) return Value::Scalar(std::nan(""));
    return Value::Scalar(first.vector[0].value, first.vector[0].certainty);
  }
  if (e.function == Function::kVector) {
    Element element;
    element.value = first.scalar;
    element.certainty = first.scalar_certainty;
    return Value::Vector({std::move(element)});
  }
  std::vector<Value> numbers;
  Certainty certainty = Certainty::kKnown;
  for (size_t i = 1; i < e.args.size(); ++i) {
    WHEELPIT_ASSIGN_OR_RETURN(Value number, Evaluate(*e.args[i]));
    certainty = Least(certainty, number.scalar_certainty);
    numbers.push_back(std::move(number));
  }
  if (e.function == Function::kClamp && numbers[0].scalar > numbers[1].scalar)
    return Value::Vector({});
  for (Element& element : first.vector) {
    element.value = ApplyFunction(e.function, element.value, numbers);
    element.certainty = Least(element.certainty, certainty);
    element.name.clear();
  }
  WHEELPIT_RETURN_IF_ERROR(CheckUnique(first.vector, position));
  return first;
}

absl::StatusOr<Value> ExactEvaluation::EvaluateAbsent(const CallExpr& e) {
  WHEELPIT_ASSIGN_OR_RETURN(const Value value, Evaluate(*e.args[0]));
  // What is unknown is not absent.
  if (!value.vector.empty()) return Value::Vector({});
  Element element;
  element.value = 1;
  if (const auto* selector = std::get_if<Selector>(&e.args[0]->node)) {
    // Labels that one equality alone fixes.
    for (const Matcher& m : selector->matchers) {
      const auto same_label =
          std::count_if(selector->matchers.begin(), selector->matchers.end(),
                        [&m](const Matcher& o) { return o.label() == m.label(); });
      if (m.op() == MatchOp::kEqual && same_label == 1) element.labels.Set(m.label(), m.value());
    }
  }
  return Value::Vector({std::move(element)});
}

void ExactEvaluation::NoteNotCounter(absl::string_view name, TextPosition position) {
  for (absl::string_view suffix : {"_total", "_sum", "_count", "_bucket"})
    if (absl::EndsWith(name, suffix)) return;
  std::string info = absl::StrCat(
      "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: ",
      Quoted(name), " (", position.line, ":", position.column, ")");
  if (std::find(infos_.begin(), infos_.end(), info) == infos_.end())
    infos_.push_back(std::move(info));
}

}  // namespace wheelpit
