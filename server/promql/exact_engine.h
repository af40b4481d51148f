// Evaluates a syntax tree on the rings: rates are counts of whole seconds, never extrapolated
// (docs/promql.md).
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/promql/ast.h"
#include "server/promql/selection.h"
#include "server/promql/value.h"

namespace wheelpit {

// One evaluation, one thread. `expr` has passed CheckSupported.
class ExactEvaluation {
 public:
  explicit ExactEvaluation(Selection* selection) : selection_(*selection) {}

  // Errors: EXECUTION.
  absl::StatusOr<Value> Evaluate(const Expr& expr);
  // Remarks for the asker, each once.
  const std::vector<std::string>& infos() const { return infos_; }

 private:
  absl::StatusOr<Value> EvaluateAggregate(const AggregateExpr& e);
  absl::StatusOr<Value> EvaluateCall(const CallExpr& e, TextPosition position);
  absl::StatusOr<Value> EvaluateAbsent(const CallExpr& e);
  // The series behind a selector or rate/increase/irate of one, without a copy. False if `expr` is
  // neither.
  absl::StatusOr<bool> Stream(const Expr& expr, Selection::Visit visit);
  absl::StatusOr<Value> Collect(const Expr& expr);
  void NoteNotCounter(absl::string_view name, TextPosition position);

  Selection& selection_;
  std::vector<std::string> infos_;
};

}  // namespace wheelpit
