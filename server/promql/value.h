// Values while an expression is evaluated: numbers and instant vectors, each with how sure it is.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/model/labels.h"
#include "server/series/label_set.h"

namespace wheelpit {

// Zero, unknown and absent are three things: an unknown element stays in its vector to the end, so
// that `or vector(0)` cannot make it a zero.
enum class Certainty {
  kKnown,
  kPartial,  // some of the reporters that feed it are silent
  kUnknown,  // its value means nothing
};
inline Certainty Least(Certainty a, Certainty b) { return std::max(a, b); }

struct Element {
  Labels labels;     // without the name
  std::string name;  // "" once an operation has dropped it
  double value = 0;
  Certainty certainty = Certainty::kKnown;
};

struct Value {
  bool is_scalar = false;
  double scalar = 0;
  Certainty scalar_certainty = Certainty::kKnown;
  std::vector<Element> vector;

  static Value Scalar(double v, Certainty certainty = Certainty::kKnown) {
    Value value;
    value.is_scalar = true;
    value.scalar = v;
    value.scalar_certainty = certainty;
    return value;
  }
  static Value Vector(std::vector<Element> elements) {
    Value value;
    value.vector = std::move(elements);
    return value;
  }
};

// `{a="1",b="2"}` with the name before it, for messages.
std::string SeriesText(absl::string_view name, const Labels& labels);

}  // namespace wheelpit
