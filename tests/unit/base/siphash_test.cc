#include "base/siphash.h"

#include <string>

#include "gtest/gtest.h"

namespace wheelpit {
namespace {

SipKey VectorKey() {
  SipKey key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<uint8_t>(i);
  return key;
}

std::string Input(size_t n) {
  std::string in;
  for (size_t i = 0; i < n; ++i) in.push_back(static_cast<char>(i));
  return in;
}

// The vectors of the authors' reference code: key 00..0f, input 00..(n-1).
TEST(SipHashTest, ReferenceVectors64) {
  EXPECT_EQ(SipHash64(VectorKey(), Input(0)), 0x726fdb47dd0e0e31u);
  EXPECT_EQ(SipHash64(VectorKey(), Input(15)), 0xa129ca6149be45e5u);
}

TEST(SipHashTest, ReferenceVectors128) {
  EXPECT_EQ(SipHash128(VectorKey(), Input(0)), (Hash128{0xe6a825ba047f81a3, 0x930255c71472f66d}));
  EXPECT_EQ(SipHash128(VectorKey(), Input(1)), (Hash128{0x44af996bd8c187da, 0x45fc229b11597634}));
  EXPECT_EQ(SipHash128(VectorKey(), Input(15)), (Hash128{0x11a8b03399e99354, 0xd9c3cf970fec087e}));
}

TEST(SipHashTest, KeyMatters) {
  SipKey other = VectorKey();
  other[15] ^= 1;
  EXPECT_NE(SipHash64(VectorKey(), "queue"), SipHash64(other, "queue"));
  EXPECT_FALSE(SipHash128(VectorKey(), "queue") == SipHash128(other, "queue"));
}

}  // namespace
}  // namespace wheelpit
