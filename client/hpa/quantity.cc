#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "client/hpa/hpa.h"

namespace wheelpit::hpa {
namespace {

// Decimal exponent of an SI suffix, or binary shift; false if it is none.
bool ParseSuffix(absl::string_view suffix, int* exp10, int* shift) {
  static constexpr struct {
    const char* text;
    int exp10;
    int shift;
  } kSuffixes[] = {{"n", -9, 0}, {"u", -6, 0}, {"m", -3, 0}, {"", 0, 0},    {"k", 3, 0},   {"M", 6, 0},   {"G", 9, 0},  {"T", 12, 0},
                   {"P", 15, 0}, {"E", 18, 0}, {"Ki", 0, 10}, {"Mi", 0, 20}, {"Gi", 0, 30}, {"Ti", 0, 40}, {"Pi", 0, 50}, {"Ei", 0, 60}};
  for (const auto& s : kSuffixes) {
    if (suffix == s.text) {
      *exp10 = s.exp10;
      *shift = s.shift;
      return true;
    }
  }
  if (suffix.size() >= 2 && (suffix[0] == 'e' || suffix[0] == 'E')) {
    bool negative = false;
    size_t i = 1;
    if (suffix[i] == '+' || suffix[i] == '-') negative = suffix[i++] == '-';
    if (i == suffix.size() || suffix.size() - i > 3) return false;
    int e = 0;
    for (; i < suffix.size(); ++i) {
      if (suffix[i] < '0' || suffix[i] > '9') return false;
      e = e * 10 + (suffix[i] - '0');
    }
    *exp10 = negative ? -e : e;
    *shift = 0;
    return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<int64_t> ParseQuantityMilli(absl::string_view text) {
  const auto bad = [&] {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD",
                     absl::StrCat("\"", Quoted(text), "\" is no quantity: expected digits with a suffix such as m, k or Mi"));
  };
  size_t i = 0;
  bool negative = false;
  if (i < text.size() && (text[i] == '+' || text[i] == '-')) negative = text[i++] == '-';
  unsigned __int128 digits = 0;
  int fraction_digits = 0;
  bool any = false, point = false;
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '.' && !point) {
      point = true;
    } else if (c >= '0' && c <= '9') {
      any = true;
      if (digits > (~static_cast<unsigned __int128>(0) - 9) / 10) return bad();
      digits = digits * 10 + static_cast<unsigned>(c - '0');
      fraction_digits += point ? 1 : 0;
    } else {
      break;
    }
  }
  int exp10 = 0, shift = 0;
  if (!any || !ParseSuffix(text.substr(i), &exp10, &shift)) return bad();
  exp10 += 3 - fraction_digits;  // to milli
  for (; shift > 0 && exp10 < 0; --shift) digits *= 2;
  digits <<= shift;
  for (; exp10 > 0 && digits != 0; --exp10) {
    if (digits > (~static_cast<unsigned __int128>(0)) / 10) return bad();
    digits *= 10;
  }
  bool remainder = false;
  for (; exp10 < 0 && digits != 0; ++exp10) {
    remainder |= digits % 10 != 0;
    digits /= 10;
  }
  if (remainder) ++digits;  // away from zero, as the controller rounds
  const auto magnitude = static_cast<uint64_t>(digits);
  return static_cast<int64_t>(negative ? 0 - magnitude : magnitude);
}

std::string FormatQuantityMilli(int64_t milli) {
  if (milli == 0) return "0";
  int64_t a = milli;
  int e = -3;
  while (a % 10 == 0) {
    a /= 10;
    ++e;
  }
  while (e % 3 != 0) {
    a *= 10;
    --e;
  }
  static constexpr const char* kSuffix[] = {"m", "", "k", "M", "G", "T", "P", "E"};
  return absl::StrCat(a, kSuffix[(e + 3) / 3]);
}

}  // namespace wheelpit::hpa
