#include "base/http/gzip.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace wheelpit {
namespace {

TEST(GzipTest, MembersMayBeConcatenated) {
  std::string text;
  for (int i = 0; i < 50'000; ++i) absl::StrAppend(&text, "series{x=\"", i, "\"} ", i * 7, "\n");
  const std::string packed = GzipCompress(text) + GzipCompress("end\n", 9);
  EXPECT_LT(packed.size(), text.size() / 3);
  const auto back = GzipDecompress(packed, 10 << 20);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, text + "end\n");
}

TEST(GzipTest, DamageAndBombsAreRefused) {
  std::string packed = GzipCompress(std::string(1 << 20, 'x'));
  EXPECT_FALSE(GzipDecompress(packed, 1 << 16).ok());
  EXPECT_FALSE(GzipDecompress(packed.substr(0, packed.size() - 3), 2 << 20).ok());
  packed[packed.size() / 2] ^= 0x55;
  EXPECT_FALSE(GzipDecompress(packed, 2 << 20).ok());
}

TEST(GzipTest, AcceptEncodingIsReadWithItsWeights) {
  EXPECT_TRUE(AcceptsGzip("gzip"));
  EXPECT_TRUE(AcceptsGzip("zstd, GZIP;q=0.5"));
  EXPECT_TRUE(AcceptsGzip("*"));
  EXPECT_FALSE(AcceptsGzip(""));
  EXPECT_FALSE(AcceptsGzip("identity"));
  EXPECT_FALSE(AcceptsGzip("gzip;q=0, *"));
  EXPECT_FALSE(AcceptsGzip("gzip; q=0.000"));
}

}  // namespace
}  // namespace wheelpit
