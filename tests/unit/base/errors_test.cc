#include "base/errors.h"

#include <string>

#include "gtest/gtest.h"

namespace wheelpit {
namespace {

TEST(ErrorsTest, ReasonAndRetryComeBack) {
  const absl::Status status = MakeError(absl::StatusCode::kResourceExhausted, "OVERLOADED",
                                        "ingest queue full", absl::Milliseconds(250));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "ingest queue full");
  EXPECT_EQ(ErrorReason(status), "OVERLOADED");
  EXPECT_EQ(ErrorRetryAfter(status), absl::Milliseconds(250));
}

TEST(ErrorsTest, CopiesKeepTheReason) {
  const absl::Status copy =
      MakeError(absl::StatusCode::kFailedPrecondition, "LEASE_LOST", "token 7");
  const absl::Status second = copy;
  EXPECT_EQ(ErrorReason(second), "LEASE_LOST");
  EXPECT_EQ(ErrorRetryAfter(second), absl::ZeroDuration());
}

TEST(ErrorsTest, PlainStatusHasNone) {
  EXPECT_EQ(ErrorReason(absl::InternalError("x")), "");
  EXPECT_EQ(ErrorReason(absl::OkStatus()), "");
  EXPECT_EQ(ErrorReason(MakeError(absl::StatusCode::kInternal, "", "x")), "");
  EXPECT_EQ(ErrorRetryAfter(absl::InternalError("x")), absl::ZeroDuration());
}

TEST(ErrorsTest, RetryIsRoundedUp) {
  const absl::Status status =
      MakeError(absl::StatusCode::kUnavailable, "STARTING", "x", absl::Microseconds(1001));
  EXPECT_EQ(ErrorRetryAfter(status), absl::Milliseconds(2));
}

TEST(QuotedTest, EscapesOutsideText) {
  EXPECT_EQ(Quoted("plain"), "\"plain\"");
  EXPECT_EQ(Quoted("a\"b\\c\nd"), "\"a\\\"b\\\\c\\nd\"");
  EXPECT_EQ(Quoted("Größe"), "\"Größe\"");
}

TEST(QuotedTest, BytesThatAreNoTextAreShownInHex) {
  EXPECT_EQ(Quoted("a\xff"), "\"a\\xff\"");
  EXPECT_EQ(Quoted("\xc3\x9f\x80"), "\"\\xc3\\x9f\\x80\"");
  EXPECT_EQ(Quoted(std::string(200, '\x80')).size(), 128 * 4 + 5u);
}

TEST(QuotedTest, CutsAt128BytesBetweenCharacters) {
  EXPECT_EQ(Quoted(std::string(128, 'x')), "\"" + std::string(128, 'x') + "\"");
  EXPECT_EQ(Quoted(std::string(129, 'x')), "\"" + std::string(128, 'x') + "...\"");
  // A two-byte character across the limit is left out whole.
  EXPECT_EQ(Quoted(std::string(127, 'x') + "ßy"), "\"" + std::string(127, 'x') + "...\"");
}

}  // namespace
}  // namespace wheelpit
