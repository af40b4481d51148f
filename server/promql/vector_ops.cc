#include "server/promql/vector_ops.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"

namespace wheelpit {
namespace {

constexpr absl::string_view kNameLabel = "__name__";

// The labels that decide which elements belong together.
Labels MatchKey(const Element& e, const VectorMatching& matching) {
  if (!matching.given) return e.labels;
  const auto listed = [&matching](absl::string_view label) {
    return std::find(matching.labels.begin(), matching.labels.end(), label) !=
           matching.labels.end();
  };
  std::vector<Labels::Pair> pairs;
  for (const auto& pair : e.labels.pairs())
    if (listed(pair.first) == matching.on) pairs.push_back(pair);
  if (matching.on && !e.name.empty() && listed(kNameLabel)) pairs.emplace_back(kNameLabel, e.name);
  return Labels(std::move(pairs));
}

// What a comparison without bool makes of a pair: the element stays or goes. A value that is not
// known may be either: it stays, unknown.
bool Keeps(BinaryOp op, double a, double b, Certainty certainty) {
  return certainty == Certainty::kUnknown || ApplyOp(op, a, b) != 0;
}

Value ScalarWithVector(const BinaryExpr& expr, const Value& scalar, Value vector,
                       bool scalar_left) {
  std::vector<Element> out;
  const bool filter = IsComparison(expr.op) && !expr.return_bool;
  for (Element& e : vector.vector) {
    const double a = scalar_left ? scalar.scalar : e.value;
    const double b = scalar_left ? e.value : scalar.scalar;
    e.certainty = Least(e.certainty, scalar.scalar_certainty);
    if (filter) {
      if (Keeps(expr.op, a, b, e.certainty)) out.push_back(std::move(e));
      continue;
    }
    e.value = ApplyOp(expr.op, a, b);
    e.name.clear();
    out.push_back(std::move(e));
  }
  return Value::Vector(std::move(out));
}

absl::Status DuplicateError(TextPosition position, const Labels& key, absl::string_view side) {
  return ExecutionError(
      position, absl::StrCat("found duplicate series for the match group ", SeriesText("", key),
                             " on the ", side, " side of the operation"));
}

absl::StatusOr<Value> OneToOne(const BinaryExpr& expr, TextPosition position, Value left,
                               Value right) {
  absl::flat_hash_map<Labels, const Element*> by_key;
  by_key.reserve(right.vector.size());
  for (const Element& e : right.vector) {
    Labels key = MatchKey(e, expr.matching);
    if (by_key.contains(key)) return DuplicateError(position, key, "right");
    by_key.emplace(std::move(key), &e);
  }
  const bool filter = IsComparison(expr.op) && !expr.return_bool;
  absl::flat_hash_set<Labels> seen;
  std::vector<Element> out;
  for (Element& e : left.vector) {
    Labels key = MatchKey(e, expr.matching);
    const auto match = by_key.find(key);
    if (match == by_key.end()) continue;
    if (!seen.insert(key).second) return DuplicateError(position, key, "left");
    const double b = match->second->value;
    e.certainty = Least(e.certainty, match->second->certainty);
    if (filter && !Keeps(expr.op, e.value, b, e.certainty)) continue;
    if (!filter) {
      e.value = ApplyOp(expr.op, e.value, b);
      e.name.clear();
    }
    if (expr.matching.given) {
      // The result has the labels that were matched on, and the name only where on() lists it.
      if (expr.matching.on && !key.Has(kNameLabel)) e.name.clear();
      key.Set(kNameLabel, "");
      e.labels = std::move(key);
    }
    out.push_back(std::move(e));
  }
  WHEELPIT_RETURN_IF_ERROR(CheckUnique(out, position));
  return Value::Vector(std::move(out));
}

Value SetOperation(const BinaryExpr& expr, Value left, Value right) {
  std::vector<Element> out;
  // Whether any element with the key is there for sure. An unknown one may be one that a comparison
  // would have dropped.
  absl::flat_hash_map<Labels, Certainty> keys;
  const auto collect = [&keys, &expr](const std::vector<Element>& elements) {
    for (const Element& e : elements) {
      const auto [it, added] = keys.emplace(MatchKey(e, expr.matching), e.certainty);
      if (!added) it->second = std::min(it->second, e.certainty);
    }
  };
  if (expr.op == BinaryOp::kOr) {
    collect(left.vector);
    out = std::move(left.vector);
    for (Element& e : right.vector)
      if (!keys.contains(MatchKey(e, expr.matching))) out.push_back(std::move(e));
    return Value::Vector(std::move(out));
  }
  collect(right.vector);
  for (Element& e : left.vector) {
    const auto it = keys.find(MatchKey(e, expr.matching));
    const bool found = it != keys.end();
    const bool doubtful = found && it->second == Certainty::kUnknown;
    if (doubtful) {
      e.certainty = Certainty::kUnknown;
    } else if (found != (expr.op == BinaryOp::kAnd)) {
      continue;
    }
    out.push_back(std::move(e));
  }
  return Value::Vector(std::move(out));
}

}  // namespace

double ApplyOp(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd:
      return a + b;
    case BinaryOp::kSubtract:
      return a - b;
    case BinaryOp::kMultiply:
      return a * b;
    case BinaryOp::kDivide:
      return a / b;
    case BinaryOp::kModulo:
      return std::fmod(a, b);
    case BinaryOp::kPower:
      return std::pow(a, b);
    case BinaryOp::kEqual:
      return a == b ? 1 : 0;
    case BinaryOp::kNotEqual:
      return a != b ? 1 : 0;
    case BinaryOp::kLess:
      return a < b ? 1 : 0;
    case BinaryOp::kGreater:
      return a > b ? 1 : 0;
    case BinaryOp::kLessEqual:
      return a <= b ? 1 : 0;
    case BinaryOp::kGreaterEqual:
      return a >= b ? 1 : 0;
    case BinaryOp::kOr:
    case BinaryOp::kAnd:
    case BinaryOp::kUnless:
      break;
  }
  return std::nan("");
}

absl::StatusOr<Value> ApplyBinary(const BinaryExpr& expr, TextPosition position, Value left,
                                  Value right) {
  if (left.is_scalar && right.is_scalar)
    return Value::Scalar(ApplyOp(expr.op, left.scalar, right.scalar),
                         Least(left.scalar_certainty, right.scalar_certainty));
  if (IsSetOp(expr.op)) return SetOperation(expr, std::move(left), std::move(right));
  if (!left.is_scalar && !right.is_scalar)
    return OneToOne(expr, position, std::move(left), std::move(right));
  Value result = left.is_scalar ? ScalarWithVector(expr, left, std::move(right), true)
                                : ScalarWithVector(expr, right, std::move(left), false);
  WHEELPIT_RETURN_IF_ERROR(CheckUnique(result.vector, position));
  return result;
}

absl::Status CheckUnique(const std::vector<Element>& elements, TextPosition position) {
  if (elements.size() < 2) return absl::OkStatus();
  struct Hash {
    size_t operator()(const Element* e) const { return absl::HashOf(e->name, e->labels); }
  };
  struct Equal {
    bool operator()(const Element* a, const Element* b) const {
      return a->name == b->name && a->labels == b->labels;
    }
  };
  absl::flat_hash_set<const Element*, Hash, Equal> seen;
  seen.reserve(elements.size());
  for (const Element& e : elements) {
    if (!seen.insert(&e).second)
      return ExecutionError(position,
                            absl::StrCat("vector cannot contain metrics with the same labelset: ",
                                         SeriesText(e.name, e.labels)));
  }
  return absl::OkStatus();
}

}  // namespace wheelpit
