#include "base/http/chunked.h"

#include "gtest/gtest.h"

namespace wheelpit {
namespace {

using State = ChunkedDecoder::State;

TEST(ChunkedTest, AnyCutGivesTheSameBody) {
  const std::string wire = "5\r\nhello\r\nA;ext=1\r\n, chunked \r\n5\r\nworld\r\n0\r\nTrailer: x\r\n\r\nNEXT";
  for (size_t cut = 0; cut <= wire.size(); ++cut) {
    ChunkedDecoder decoder;
    std::string body;
    size_t used = 0;
    State state = decoder.Feed(absl::string_view(wire).substr(0, cut), &used, &body);
    size_t total = used;
    if (state == State::kMore) {
      state = decoder.Feed(absl::string_view(wire).substr(total), &used, &body);
      total += used;
    }
    EXPECT_EQ(state, State::kDone) << cut;
    EXPECT_EQ(body, "hello, chunked world") << cut;
    EXPECT_EQ(wire.substr(total), "NEXT") << cut;
  }
}

TEST(ChunkedTest, WhatTwoReadersMightSeeDifferentlyIsBad) {
  for (absl::string_view wire : {"0x5\r\nhello\r\n0\r\n\r\n", "-1\r\n", " 5\r\nhello\r\n", "\r\n", "5\r\nhelloX\r\n0\r\n\r\n",
                                 "fffffffffffffffff\r\n", "g\r\n", "+5\r\nhello\r\n"}) {
    ChunkedDecoder decoder;
    std::string body;
    size_t used = 0;
    EXPECT_EQ(decoder.Feed(wire, &used, &body), State::kBad) << wire;
  }
  ChunkedDecoder endless;
  std::string body;
  size_t used = 0;
  EXPECT_EQ(endless.Feed(std::string(5000, '1'), &used, &body), State::kBad);
}

}  // namespace
}  // namespace wheelpit
