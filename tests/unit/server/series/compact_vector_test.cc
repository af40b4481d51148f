#include "server/series/compact_vector.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/random.h"

namespace wheelpit {
namespace {

TEST(CompactVectorTest, EmptyCostsOnePointer) {
  CompactVector<uint32_t> v;
  EXPECT_EQ(sizeof(v), sizeof(void*));
  EXPECT_TRUE(v.empty());
  EXPECT_EQ(v.allocated_bytes(), 0u);
  EXPECT_EQ(v.begin(), v.end());
}

TEST(CompactVectorTest, OneSmallValueCostsNothingMore) {
  CompactVector<uint32_t> v;
  v.push_back(0);
  EXPECT_EQ(v.size(), 1u);
  EXPECT_EQ(v[0], 0u);
  EXPECT_EQ(v.allocated_bytes(), 0u);
  v.push_back(UINT32_MAX);
  EXPECT_EQ(v[0], 0u);
  EXPECT_EQ(v[1], UINT32_MAX);
  EXPECT_GT(v.allocated_bytes(), 0u);
}

template <typename T>
class CompactVectorModelTest : public testing::Test {};
using ItemTypes = testing::Types<uint8_t, uint32_t, uint64_t>;
TYPED_TEST_SUITE(CompactVectorModelTest, ItemTypes);

TYPED_TEST(CompactVectorModelTest, BehavesAsAVector) {
  Rng rng(3);
  CompactVector<TypeParam> v;
  std::vector<TypeParam> model;
  for (int step = 0; step < 3000; ++step) {
    if (model.empty() || rng.Chance(0.6)) {
      const auto item = static_cast<TypeParam>(rng.Next());
      v.push_back(item);
      model.push_back(item);
    } else if (rng.Chance(0.02)) {
      v.clear();
      model.clear();
    } else {
      const size_t i = rng.Below(model.size());
      v.erase(i);
      model.erase(model.begin() + static_cast<std::ptrdiff_t>(i));
    }
    ASSERT_TRUE(std::equal(v.begin(), v.end(), model.begin(), model.end())) << "step " << step;
  }
}

TEST(CompactVectorTest, MovesAndCopiesItsOwnItems) {
  CompactVector<uint32_t> v;
  v.push_back(7);
  for (int i = 0; i < 100; ++i) v.push_back(v[0]);
  CompactVector<uint32_t> moved = std::move(v);
  EXPECT_EQ(moved.size(), 101u);
  EXPECT_EQ(moved[100], 7u);
}

}  // namespace
}  // namespace wheelpit
