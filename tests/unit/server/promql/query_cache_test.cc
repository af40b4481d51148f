#include "server/promql/query_cache.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace wheelpit {
namespace {

TEST(QueryCacheTest, SameTextSameTree) {
  QueryCache cache(10, 100);
  const auto first = cache.Get("sum(x)");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->get(), cache.Get("sum(x)")->get());
  EXPECT_EQ(cache.size(), 1u);
}

TEST(QueryCacheTest, KeepsTheLastUsed) {
  QueryCache cache(3, 100);
  const auto a = *cache.Get("a");
  for (const char* query : {"b", "c", "a", "d"}) ASSERT_TRUE(cache.Get(query).ok());
  EXPECT_EQ(cache.size(), 3u);
  EXPECT_EQ(cache.Get("a")->get(), a.get());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(cache.Get(absl::StrCat("m", i)).ok());
  EXPECT_EQ(cache.size(), 3u);
  EXPECT_NE(cache.Get("a")->get(), a.get());
}

TEST(QueryCacheTest, ErrorsAndLongQueriesAreNotKept) {
  QueryCache cache(10, 20);
  EXPECT_FALSE(cache.Get("sum(").ok());
  EXPECT_FALSE(cache.Get("topk(1, x)").ok());
  EXPECT_TRUE(cache.Get("sum(a_name_that_is_too_long_to_keep)").ok());
  EXPECT_EQ(cache.size(), 0u);
}

}  // namespace
}  // namespace wheelpit
