// Numbers as Prometheus' parsers read them. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace wheelpit {

// Room for any number below.
inline constexpr size_t kNumberBytesMax = 32;

// Writes digits to `to` and returns how many bytes.
size_t WriteInteger(uint64_t value, char* to);
// NaN, +Inf, -Inf; plain digits if integral and below 2^53; else the shortest digits that read back as the same double.
size_t WriteNumber(double value, char* to);

std::string FormatNumber(double value);
// For `le` and `quantile`: as Go's 'g', with `.0` after whole numbers: 0.005 1.0 100000.0 1e+06 +Inf.
std::string FormatBound(double bound);
// Milliseconds as seconds: 1700000000.123.
std::string FormatSeconds(int64_t ms);

}  // namespace wheelpit
