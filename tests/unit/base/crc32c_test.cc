#include "base/crc32c.h"

#include <string>

#include "base/random.h"
#include "gtest/gtest.h"

namespace wheelpit {
namespace {

// RFC 3720, B.4, and the check value of the catalogue of CRCs.
TEST(Crc32cTest, KnownVectors) {
  std::string ascending, descending;
  for (int i = 0; i < 32; ++i) ascending.push_back(static_cast<char>(i));
  for (int i = 31; i >= 0; --i) descending.push_back(static_cast<char>(i));
  for (const auto& crc : {&Crc32c, &Crc32cPortable}) {
    EXPECT_EQ(crc("", 0), 0u);
    EXPECT_EQ(crc("123456789", 0), 0xe3069283u);
    EXPECT_EQ(crc(std::string(32, '\0'), 0), 0x8a9136aau);
    EXPECT_EQ(crc(std::string(32, '\xff'), 0), 0x62a8ab43u);
    EXPECT_EQ(crc(ascending, 0), 0x46dd794eu);
    EXPECT_EQ(crc(descending, 0), 0x113fdb5cu);
  }
}

TEST(Crc32cTest, EveryLengthAndOffsetEqualsThePortableOne) {
  Rng rng(1);
  std::string data;
  for (int i = 0; i < 8192; ++i) data.push_back(static_cast<char>(rng.Next()));
  for (size_t n = 0; n <= 1700; ++n) {
    const absl::string_view part = absl::string_view(data).substr(n % 9, n);
    ASSERT_EQ(Crc32c(part), Crc32cPortable(part)) << n;
  }
  for (size_t n = 1700; n < 8000; n += 61) {
    const absl::string_view part = absl::string_view(data).substr(n % 9, n);
    ASSERT_EQ(Crc32c(part), Crc32cPortable(part)) << n;
  }
}

TEST(Crc32cTest, ContinuesOverPieces) {
  std::string data;
  for (int i = 0; i < 5000; ++i) data.push_back(static_cast<char>(i * 7 + i / 256));
  for (size_t cut : {size_t{0}, size_t{1}, size_t{7}, size_t{1536}, size_t{4999}, size_t{5000}}) {
    const absl::string_view all(data);
    EXPECT_EQ(Crc32c(all.substr(cut), Crc32c(all.substr(0, cut))), Crc32c(all)) << cut;
  }
}

TEST(Crc32cTest, WordIsItsLittleEndianBytes) {
  EXPECT_EQ(Crc32cWord(0x3837363534333231, 0), Crc32c("12345678"));
  EXPECT_EQ(Crc32c("9", Crc32cWord(0x3837363534333231, 0)), 0xe3069283u);
}

TEST(Crc32cTest, OneFlippedBitShows) {
  std::string data(4096, 'x');
  const uint32_t crc = Crc32c(data);
  for (size_t bit = 0; bit < data.size() * 8; bit += 101) {
    data[bit / 8] = static_cast<char>(data[bit / 8] ^ (1 << bit % 8));
    EXPECT_NE(Crc32c(data), crc) << bit;
    data[bit / 8] = static_cast<char>(data[bit / 8] ^ (1 << bit % 8));
  }
}

}  // namespace
}  // namespace wheelpit
