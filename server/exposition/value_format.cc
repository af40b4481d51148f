#include "server/exposition/value_format.h"

#include <charconv>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace wheelpit {
namespace {

constexpr double kExactIntegers = 9007199254740992.0;  // 2^53

size_t WriteSpecial(double value, char* to) {
  const absl::string_view text = std::isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
  std::memcpy(to, text.data(), text.size());
  return text.size();
}

}  // namespace

size_t WriteInteger(uint64_t value, char* to) {
  return static_cast<size_t>(std::to_chars(to, to + kNumberBytesMax, value).ptr - to);
}

size_t WriteNumber(double value, char* to) {
  if (!std::isfinite(value)) return WriteSpecial(value, to);
  if (std::fabs(value) < kExactIntegers && value == std::trunc(value) && !(value == 0 && std::signbit(value))) {
    return static_cast<size_t>(std::to_chars(to, to + kNumberBytesMax, static_cast<int64_t>(value)).ptr - to);
  }
  return static_cast<size_t>(std::to_chars(to, to + kNumberBytesMax, value).ptr - to);
}

std::string FormatNumber(double value) {
  char text[kNumberBytesMax];
  return std::string(text, WriteNumber(value, text));
}

std::string FormatBound(double bound) {
  if (!std::isfinite(bound)) return FormatNumber(bound);
  // to_chars gives the shortest digits and the exponent; where the point goes is Go's rule, not its own.
  char text[kNumberBytesMax];
  const auto result = std::to_chars(text, text + sizeof(text), bound, std::chars_format::scientific);
  const absl::string_view scientific(text, static_cast<size_t>(result.ptr - text));
  const size_t e = scientific.find('e');
  int exponent = 0;
  const char* digits = text + e + 1;
  if (*digits == '+') ++digits;
  std::from_chars(digits, result.ptr, exponent);
  const absl::string_view mantissa = scientific.substr(0, e);
  if (exponent < -4 || exponent >= 6) {
    return absl::StrFormat("%s%s%c%02d", mantissa, "e", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  char fixed[kNumberBytesMax];
  const auto end = std::to_chars(fixed, fixed + sizeof(fixed), bound, std::chars_format::fixed).ptr;
  std::string out(fixed, static_cast<size_t>(end - fixed));
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

std::string FormatSeconds(int64_t ms) { return absl::StrFormat("%d.%03d", ms / 1000, ms % 1000); }

}  // namespace wheelpit
