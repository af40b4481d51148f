// Binary operations between values of one evaluation. Pure.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/promql/ast.h"
#include "server/promql/value.h"

namespace wheelpit {

// IEEE 754; comparisons give 0 or 1. Not for set operators.
double ApplyOp(BinaryOp op, double a, double b);

// Errors: EXECUTION at `position` (two elements of one side with the same labels to match on).
absl::StatusOr<Value> ApplyBinary(const BinaryExpr& expr, TextPosition position, Value left,
                                  Value right);

// EXECUTION if two elements have one label set: called where names were dropped.
absl::Status CheckUnique(const std::vector<Element>& elements, TextPosition position);

}  // namespace wheelpit
