#include "base/utf8.h"

#include "gtest/gtest.h"

namespace wheelpit {
namespace {

TEST(Utf8Test, StrictFormsOnly) {
  for (const char* good : {"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8e\xa1"}) EXPECT_TRUE(IsValidUtf8(good)) << good;
  EXPECT_TRUE(IsValidUtf8(absl::string_view("a\0b", 3)));
  for (const char* bad : {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "a\x80"}) {
    EXPECT_FALSE(IsValidUtf8(bad)) << bad;
  }
}

TEST(Utf8Test, WhatIsNoCharacterIsReplacedByteForByte) {
  EXPECT_EQ(ToValidUtf8("a\xff\xfe" "b", 100), "a\xef\xbf\xbd\xef\xbf\xbd" "b");
  EXPECT_EQ(ToValidUtf8("caf\xc3\xa9", 100), "caf\xc3\xa9");
  EXPECT_EQ(ToValidUtf8("\xe2\x82", 100), "\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(Utf8Test, TextIsCutBetweenCharacters) {
  EXPECT_EQ(ToValidUtf8("caf\xc3\xa9!", 4), "caf");
  EXPECT_EQ(ToValidUtf8("caf\xc3\xa9!", 5), "caf\xc3\xa9");
  EXPECT_EQ(ToValidUtf8("\xff", 2), "");
  EXPECT_EQ(ToValidUtf8("abc", 0), "");
}

}  // namespace
}  // namespace wheelpit
