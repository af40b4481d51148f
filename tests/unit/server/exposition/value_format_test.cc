#include "server/exposition/value_format.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "base/random.h"
#include "gtest/gtest.h"

namespace wheelpit {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

TEST(ValueFormatTest, Numbers) {
  EXPECT_EQ(FormatNumber(0), "0");
  EXPECT_EQ(FormatNumber(42), "42");
  EXPECT_EQ(FormatNumber(-7), "-7");
  EXPECT_EQ(FormatNumber(0.25), "0.25");
  EXPECT_EQ(FormatNumber(0.1 + 0.2), "0.30000000000000004");
  EXPECT_EQ(FormatNumber(1e6), "1000000");
  EXPECT_EQ(FormatNumber(9007199254740991.0), "9007199254740991");
  EXPECT_EQ(FormatNumber(std::nan("")), "NaN");
  EXPECT_EQ(FormatNumber(kInf), "+Inf");
  EXPECT_EQ(FormatNumber(-kInf), "-Inf");
}

TEST(ValueFormatTest, NumbersReadBackAsTheSameDouble) {
  Rng rng(7);
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t bits = rng.Next();
    double value;
    std::memcpy(&value, &bits, sizeof(value));
    if (!std::isfinite(value)) continue;
    const std::string text = FormatNumber(value);
    ASSERT_LT(text.size(), kNumberBytesMax);
    ASSERT_EQ(std::strtod(text.c_str(), nullptr), value) << text;
    ASSERT_EQ(std::strtod(FormatBound(value).c_str(), nullptr), value) << FormatBound(value);
  }
}

TEST(ValueFormatTest, BoundsAreWrittenAsGoDoes) {
  EXPECT_EQ(FormatBound(0.005), "0.005");
  EXPECT_EQ(FormatBound(1), "1.0");
  EXPECT_EQ(FormatBound(10), "10.0");
  EXPECT_EQ(FormatBound(100000), "100000.0");
  EXPECT_EQ(FormatBound(1e6), "1e+06");
  EXPECT_EQ(FormatBound(2.5e6), "2.5e+06");
  EXPECT_EQ(FormatBound(1e-5), "1e-05");
  EXPECT_EQ(FormatBound(0.0001), "0.0001");
  EXPECT_EQ(FormatBound(123456.75), "123456.75");
  EXPECT_EQ(FormatBound(1e100), "1e+100");
  EXPECT_EQ(FormatBound(0), "0.0");
  EXPECT_EQ(FormatBound(kInf), "+Inf");
}

TEST(ValueFormatTest, Seconds) {
  EXPECT_EQ(FormatSeconds(1'700'000'000'123), "1700000000.123");
  EXPECT_EQ(FormatSeconds(5), "0.005");
}

}  // namespace
}  // namespace wheelpit
