// PromQL text -> syntax tree, types checked. Pure; knows no store.
//
//   WHEELPIT_ASSIGN_OR_RETURN(ExprPtr expr, ParseExpr("sum by (queue) (rate(x_total[1m]))"));
//
// What the grammar has and the exact engine does not evaluate (topk, deriv, group_left, …) parses
// here; CheckSupported refuses it.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/promql/ast.h"

namespace wheelpit {

inline constexpr size_t kQueryBytesMax = 64 * 1024;
// Of the syntax tree, so that no query can exhaust a stack.
inline constexpr int kQueryDepthMax = 250;

// Errors: kInvalidArgument BAD_QUERY, `line:column: parse error: …`.
absl::StatusOr<ExprPtr> ParseExpr(absl::string_view query);

// An instant selector alone: `x_total{queue="a"}`. Errors as ParseExpr.
absl::StatusOr<Selector> ParseSelector(absl::string_view text);

// Whether the exact engine can evaluate the whole tree. kFailedPrecondition EXECUTION naming the
// first that it cannot.
absl::Status CheckSupported(const Expr& expr);

}  // namespace wheelpit
