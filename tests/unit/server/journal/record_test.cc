#include "server/journal/record.h"

#include <gtest/gtest.h>

#include <string>

namespace wheelpit {
namespace {

RecordView Example() {
  RecordView record;
  record.type = RecordType::kDone;
  record.flags = 0x81;
  record.id = 0x1122334455667788;
  record.meta = "meta";
  record.payload = absl::string_view("pay\0load", 8);
  return record;
}

TEST(RecordTest, BytesAreThoseOfTheFormat) {
  std::string bytes;
  EncodeRecord(Example(), &bytes);
  ASSERT_EQ(bytes.size(), EncodedRecordSize(Example()));
  const absl::string_view expected(
      "\x05\x81\x04\x00\x08\x00\x00\x00\x88\x77\x66\x55\x44\x33\x22\x11metapay\0load", 28);
  EXPECT_EQ(absl::string_view(bytes).substr(0, 28), expected);
}

TEST(RecordTest, DecodesWhatWasEncoded) {
  std::string bytes = "before";
  EncodeRecord(Example(), &bytes);
  EncodeRecord(RecordView{.type = RecordType::kReport}, &bytes);
  size_t size = 0;
  const auto first = DecodeRecord(absl::string_view(bytes).substr(6), &size);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->type, RecordType::kDone);
  EXPECT_EQ(first->flags, 0x81);
  EXPECT_EQ(first->id, 0x1122334455667788u);
  EXPECT_EQ(first->meta, "meta");
  EXPECT_EQ(first->payload, absl::string_view("pay\0load", 8));
  const auto second = DecodeRecord(absl::string_view(bytes).substr(6 + size), &size);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->type, RecordType::kReport);
  EXPECT_EQ(size, kRecordOverhead);
}

TEST(RecordTest, EveryFlippedBitIsSeen) {
  std::string bytes;
  EncodeRecord(Example(), &bytes);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    size_t size = 0;
    EXPECT_EQ(DecodeRecord(damaged, &size).status().code(), absl::StatusCode::kDataLoss)
        << "bit " << bit;
  }
}

TEST(RecordTest, EveryTruncationIsSeen) {
  std::string bytes;
  EncodeRecord(Example(), &bytes);
  for (size_t n = 0; n < bytes.size(); ++n) {
    size_t size = 0;
    EXPECT_EQ(DecodeRecord(absl::string_view(bytes).substr(0, n), &size).status().code(),
              absl::StatusCode::kDataLoss)
        << n;
  }
}

TEST(RecordTest, EveryTypeHasItsName) {
  for (int type = 1; type <= 20; ++type)
    EXPECT_STRNE(RecordTypeName(static_cast<RecordType>(type)), "?") << type;
  EXPECT_STREQ(RecordTypeName(static_cast<RecordType>(21)), "?");
  EXPECT_STREQ(RecordTypeName(RecordType::kReport), "REPORT");
}

}  // namespace
}  // namespace wheelpit
