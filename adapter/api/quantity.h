// Numbers as Kubernetes quantities. Pure.
//
//   QuantityText(*MilliOf(2.35)) -> 2350m
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace wheelpit::adapter {

// Thousandths, cut toward zero; what is finite but too large becomes ±(2^63 - 1). Nothing for NaN
// and ±Inf: no number stands for them.
std::optional<int64_t> MilliOf(double value);

// The same as prometheus-adapter does it: -2^63 for NaN, ±Inf and what is too large. The HPA reads it
// as 0.
int64_t MilliOfPrometheusAdapter(double value);

// The canonical DecimalSI text of a number of thousandths: `0`, `100m`, `1500`, `15k`.
std::string QuantityText(int64_t milli);

}  // namespace wheelpit::adapter
