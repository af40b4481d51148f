#include "server/promql/vector_ops.h"

#include <cmath>

#include "gtest/gtest.h"

namespace wheelpit {
namespace {

TEST(ApplyOpTest, Ieee754) {
  EXPECT_EQ(ApplyOp(BinaryOp::kDivide, 1, 0), HUGE_VAL);
  EXPECT_EQ(ApplyOp(BinaryOp::kDivide, -1, 0), -HUGE_VAL);
  EXPECT_TRUE(std::isnan(ApplyOp(BinaryOp::kModulo, 1, 0)));
  EXPECT_EQ(ApplyOp(BinaryOp::kModulo, -7, 4), -3);
  EXPECT_EQ(ApplyOp(BinaryOp::kModulo, 7.5, 2), 1.5);
  EXPECT_EQ(ApplyOp(BinaryOp::kPower, 2, 0.5), std::sqrt(2));
  EXPECT_EQ(ApplyOp(BinaryOp::kEqual, std::nan(""), std::nan("")), 0);
  EXPECT_EQ(ApplyOp(BinaryOp::kNotEqual, std::nan(""), 1), 1);
  EXPECT_EQ(ApplyOp(BinaryOp::kGreaterEqual, 2, 2), 1);
  EXPECT_EQ(ApplyOp(BinaryOp::kLessEqual, 3, 2), 0);
}

Element Make(const std::string& name, const Labels& labels) {
  Element e;
  e.name = name;
  e.labels = labels;
  return e;
}

TEST(CheckUniqueTest, NameAndLabelsTogether) {
  EXPECT_TRUE(CheckUnique({}, {}).ok());
  EXPECT_TRUE(
      CheckUnique({Make("a", {{"x", "1"}}), Make("b", {{"x", "1"}}), Make("a", {})}, {}).ok());
  const absl::Status status = CheckUnique({Make("", {{"x", "1"}}), Make("", {{"x", "1"}})}, {3, 4});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(),
            "3:4: vector cannot contain metrics with the same labelset: {x=\"1\"}");
}

}  // namespace
}  // namespace wheelpit
