#include "adapter/api/quantity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace wheelpit::adapter {
namespace {

std::string Text(double value) {
  const auto milli = MilliOf(value);
  return milli.has_value() ? QuantityText(*milli) : "none";
}

TEST(QuantityTest, WritesCanonicalDecimals) {
  const struct {
    double value;
    const char* text;
  } kCases[] = {{0, "0"},       {10, "10"},       {1000, "1k"},
                {1500, "1500"}, {15000, "15k"},   {1.5e9, "1500M"},
                {0.1, "100m"},  {-2.5, "-2500m"}, {1234567.891, "1234567891m"},
                {42, "42"},     {2.35, "2350m"},  {33.3333, "33333m"},
                {1e6, "1M"},    {1e12, "1T"},     {1e15, "1P"},
                {1e10, "10G"},  {100, "100"},     {0.01, "10m"},
                {0.001, "1m"},  {12.5, "12500m"}, {123456789, "123456789"}};
  for (const auto& c : kCases) EXPECT_EQ(Text(c.value), c.text) << c.value;
}

TEST(QuantityTest, CutsTowardZeroAsTheProductOfDoubles) {
  EXPECT_EQ(Text(1.001), "1");  // 1.001 * 1000 is a little less than 1001
  EXPECT_EQ(Text(1.005), "1004m");
  EXPECT_EQ(Text(0.0009), "0");
  EXPECT_EQ(Text(-0.0005), "0");
}

TEST(QuantityTest, CutsOverflowsAndKnowsNoSentinels) {
  EXPECT_EQ(Text(1e300), "9223372036854775807m");
  EXPECT_EQ(Text(-1e300), "-9223372036854775807m");
  EXPECT_EQ(Text(9.3e15), "9223372036854775807m");
  EXPECT_EQ(Text(std::nan("")), "none");
  EXPECT_EQ(Text(std::numeric_limits<double>::infinity()), "none");
  EXPECT_EQ(Text(-std::numeric_limits<double>::infinity()), "none");
}

}  // namespace
}  // namespace wheelpit::adapter
