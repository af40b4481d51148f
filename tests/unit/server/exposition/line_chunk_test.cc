#include "server/exposition/line_chunk.h"

#include "gtest/gtest.h"

namespace wheelpit {
namespace {

LineChunk ThreeLines() {
  LineChunk chunk;
  chunk.Append(1, "a ", "1");
  chunk.Append(2, "b{x=\"y\"} ", "22");
  chunk.Append(3, "c ", "3");
  return chunk;
}

TEST(LineChunkTest, SameWidthIsPatchedInPlace) {
  LineChunk chunk = ThreeLines();
  EXPECT_TRUE(chunk.Patch(1, "99"));
  EXPECT_EQ(chunk.text(), "a 1\nb{x=\"y\"} 99\nc 3\n");
  EXPECT_FALSE(chunk.Patch(1, "100"));
  EXPECT_FALSE(chunk.Patch(2, ""));
}

TEST(LineChunkTest, ChangesOfWidthAreLaidOutTogether) {
  LineChunk chunk = ThreeLines();
  chunk.Resize(2, "10");
  chunk.Resize(0, "1000");
  chunk.Resize(0, "2000");
  chunk.Apply();
  EXPECT_EQ(chunk.text(), "a 2000\nb{x=\"y\"} 22\nc 10\n");
  EXPECT_TRUE(chunk.Patch(0, "3000"));
  EXPECT_TRUE(chunk.Patch(2, "77"));
  EXPECT_EQ(chunk.text(), "a 3000\nb{x=\"y\"} 22\nc 77\n");
}

TEST(LineChunkTest, LinesHideAndComeBackInTheirPlace) {
  LineChunk chunk = ThreeLines();
  chunk.Hide(1);
  chunk.Apply();
  EXPECT_EQ(chunk.text(), "a 1\nc 3\n");
  EXPECT_TRUE(chunk.hidden(1));
  EXPECT_FALSE(chunk.Patch(1, "5"));
  chunk.Show(1, "b ", "7");
  chunk.Apply();
  EXPECT_EQ(chunk.text(), "a 1\nb 7\nc 3\n");
  EXPECT_TRUE(chunk.Patch(1, "8"));
  chunk.AppendHidden(4);
  EXPECT_TRUE(chunk.hidden(3));
  chunk.Remove(0);
  chunk.Apply();
  EXPECT_EQ(chunk.text(), "b 8\nc 3\n");
  EXPECT_EQ(chunk.line_count(), 3u);
  EXPECT_EQ(chunk.id(0), 2u);
  EXPECT_TRUE(chunk.hidden(2));
}

}  // namespace
}  // namespace wheelpit
