#include "base/http/http_types.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace wheelpit {
namespace {

using testing::ElementsAre;
using testing::Pair;

TEST(HttpTypesTest, TargetIsSplitBeforeDecoding) {
  HttpRequest request;
  request.target = "/a%2Fb/c?x=1%202&y=a+b&z&x=3";
  SplitTarget(&request);
  EXPECT_THAT(request.path, ElementsAre("a%2Fb", "c"));
  EXPECT_THAT(request.query, ElementsAre(Pair("x", "1 2"), Pair("y", "a b"), Pair("z", ""), Pair("x", "3")));
  EXPECT_EQ(request.Query("x"), "1 2");
  EXPECT_TRUE(request.HasQuery("z"));
  EXPECT_FALSE(request.HasQuery("w"));
  EXPECT_EQ(request.RawPath(), "/a%2Fb/c");
}

TEST(HttpTypesTest, RootIsOneEmptySegment) {
  HttpRequest request;
  request.target = "/";
  SplitTarget(&request);
  EXPECT_THAT(request.path, ElementsAre(""));
}

TEST(HttpTypesTest, HeadersAreFoundInAnyCase) {
  HttpRequest request;
  request.headers = {{"X-Group", "a"}, {"x-group", "b"}};
  EXPECT_EQ(request.Header("X-GROUP"), "a");
  EXPECT_THAT(request.HeaderValues("x-Group"), ElementsAre("a", "b"));
  EXPECT_FALSE(request.HasHeader("x"));
}

TEST(HttpTypesTest, BadEscapesAreSeen) {
  std::string out;
  EXPECT_TRUE(PercentDecode("a%2fb%00", false, &out));
  EXPECT_EQ(out, std::string("a/b\0", 4));
  EXPECT_FALSE(PercentDecode("%2", false, &out));
  EXPECT_FALSE(PercentDecode("%zz", false, &out));
  EXPECT_EQ(PercentEncode("a b/ü"), "a%20b%2F%C3%BC");
}

}  // namespace
}  // namespace wheelpit
