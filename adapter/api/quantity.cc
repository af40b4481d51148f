#include "adapter/api/quantity.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"

namespace wheelpit::adapter {

std::optional<int64_t> MilliOf(double value) {
  if (std::isnan(value) || std::isinf(value)) return std::nullopt;
  const double milli = value * 1000.0;
  constexpr double kLimit = 9223372036854775808.0;  // 2^63
  if (milli >= kLimit) return std::numeric_limits<int64_t>::max();
  if (milli <= -kLimit) return -std::numeric_limits<int64_t>::max();
  return static_cast<int64_t>(milli);
}

int64_t MilliOfPrometheusAdapter(double value) {
  const double milli = value * 1000.0;
  constexpr double kLimit = 9223372036854775808.0;  // 2^63
  // False for NaN.
  const bool fits = milli < kLimit && milli > -kLimit;
  return fits ? static_cast<int64_t>(milli) : std::numeric_limits<int64_t>::min();
}

std::string QuantityText(int64_t milli) {
  if (milli == 0) return "0";
  int64_t digits = milli;
  int exponent = -3;
  while (digits % 10 == 0) {
    digits /= 10;
    ++exponent;
  }
  while (exponent % 3 != 0) {
    digits *= 10;
    --exponent;
  }
  const char* suffix = "";
  switch (exponent) {
    case -3:
      suffix = "m";
      break;
    case 3:
      suffix = "k";
      break;
    case 6:
      suffix = "M";
      break;
    case 9:
      suffix = "G";
      break;
    case 12:
      suffix = "T";
      break;
    case 15:
      suffix = "P";
      break;
    default:
      break;
  }
  return absl::StrCat(digits, suffix);
}

}  // namespace wheelpit::adapter
