#include "server/promql/functions.h"

#include <algorithm>

namespace wheelpit {

const FunctionSpec* FindFunction(absl::string_view name) {
  constexpr ValueType kS = ValueType::kScalar;
  constexpr ValueType kV = ValueType::kVector;
  constexpr ValueType kR = ValueType::kRange;
  static const auto* const table = new std::vector<FunctionSpec>{
      {"rate", Function::kRate, kV, {kR}, 1},
      {"irate", Function::kIrate, kV, {kR}, 1},
      {"increase", Function::kIncrease, kV, {kR}, 1},
      {"scalar", Function::kScalar, kS, {kV}, 1},
      {"vector", Function::kVector, kV, {kS}, 1},
      {"abs", Function::kAbs, kV, {kV}, 1},
      {"ceil", Function::kCeil, kV, {kV}, 1},
      {"floor", Function::kFloor, kV, {kV}, 1},
      {"round", Function::kRound, kV, {kV, kS}, 1},
      {"clamp", Function::kClamp, kV, {kV, kS, kS}, 3},
      {"clamp_min", Function::kClampMin, kV, {kV, kS}, 2},
      {"clamp_max", Function::kClampMax, kV, {kV, kS}, 2},
      {"absent", Function::kAbsent, kV, {kV}, 1},
      {"time", Function::kTime, kS, {}, 0},
  };
  const auto it = std::find_if(table->begin(), table->end(),
                               [name](const FunctionSpec& f) { return f.name == name; });
  return it == table->end() ? nullptr : &*it;
}

absl::string_view ValueTypeName(ValueType type) {
  switch (type) {
    case ValueType::kScalar:
      return "a number";
    case ValueType::kVector:
      return "an instant vector";
    case ValueType::kRange:
      return "a range vector";
  }
  return "a number";
}

}  // namespace wheelpit
