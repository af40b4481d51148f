#include "adapter/auth/expiring_cache.h"

#include <gtest/gtest.h>

namespace wheelpit::adapter {
namespace {

TEST(ExpiringCacheTest, RemembersUntilTheTimeIsUp) {
  ExpiringCache<int> cache(10);
  EXPECT_FALSE(cache.Find("a", 0).has_value());
  cache.Insert("a", 1, 100);
  EXPECT_EQ(cache.Find("a", 99), 1);
  EXPECT_FALSE(cache.Find("a", 100).has_value());
  EXPECT_EQ(cache.size(), 0);
  cache.Insert("a", 1, 100);
  cache.Insert("a", 2, 200);
  EXPECT_EQ(cache.Find("a", 150), 2);
  EXPECT_EQ(cache.size(), 1);
}

TEST(ExpiringCacheTest, ForgetsWhatWasUsedLongestAgo) {
  ExpiringCache<int> cache(2);
  cache.Insert("a", 1, 100);
  cache.Insert("b", 2, 100);
  EXPECT_TRUE(cache.Find("a", 0).has_value());
  cache.Insert("c", 3, 100);
  EXPECT_FALSE(cache.Find("b", 0).has_value());
  EXPECT_EQ(cache.Find("a", 0), 1);
  EXPECT_EQ(cache.Find("c", 0), 3);
}

}  // namespace
}  // namespace wheelpit::adapter
