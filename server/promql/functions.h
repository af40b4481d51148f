// The functions of the grammar and what they take. A name that is not here parses too: evaluation
// refuses it by name.
#pragma once

#include <cstddef>
#include <vector>

#include "absl/strings/string_view.h"

namespace wheelpit {

enum class ValueType { kScalar, kVector, kRange };

enum class Function {
  kUnsupported,
  kRate,
  kIrate,
  kIncrease,
  kScalar,
  kVector,
  kAbs,
  kCeil,
  kFloor,
  kRound,
  kClamp,
  kClampMin,
  kClampMax,
  kAbsent,
  kTime,
};

struct FunctionSpec {
  absl::string_view name;
  Function function;
  ValueType returns;
  std::vector<ValueType> args;
  size_t args_min;
};

// Null for names that the exact engine does not evaluate.
const FunctionSpec* FindFunction(absl::string_view name);
// `a number`, `an instant vector`, `a range vector`.
absl::string_view ValueTypeName(ValueType type);

}  // namespace wheelpit
