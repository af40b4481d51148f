#include "base/log.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace wheelpit {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class LogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SetLogSink([this](absl::string_view line) { lines_.emplace_back(line); });
  }
  void TearDown() override {
    SetLogSink(nullptr);
    SetLogLevel(LogLevel::kInfo);
  }
  std::vector<std::string> lines_;
};

TEST_F(LogTest, OneLineOfKeysAndValues) {
  Log(LogLevel::kWarning, "journal_tail_cut", {{"segment", "12"}, {"bytes", "4096"}});
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_THAT(
      lines_[0],
      MatchesRegex("time=[0-9T:.Z-]+ level=warning event=journal_tail_cut segment=12 bytes=4096"));
}

TEST_F(LogTest, OutsideTextStaysOnOneLine) {
  Log(LogLevel::kError, "bad_config", {{"value", "a b\n\"c\""}, {"empty", ""}});
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_THAT(lines_[0], EndsWith("value=\"a b\\n\\\"c\\\"\" empty=\"\""));
}

TEST_F(LogTest, LevelsBelowTheSetOneAreSilent) {
  Log(LogLevel::kDebug, "level_test_debug");
  EXPECT_TRUE(lines_.empty());
  SetLogLevel(LogLevel::kDebug);
  Log(LogLevel::kDebug, "level_test_debug");
  EXPECT_EQ(lines_.size(), 1u);
  SetLogLevel(LogLevel::kError);
  Log(LogLevel::kWarning, "level_test_warning");
  EXPECT_EQ(lines_.size(), 1u);
}

TEST_F(LogTest, RepeatsAreDroppedPerEvent) {
  for (int i = 0; i < 10'000; ++i) Log(LogLevel::kInfo, "rate_test");
  // 10 in a second; a slow machine may begin further seconds, never many.
  EXPECT_GE(lines_.size(), 10u);
  EXPECT_LT(lines_.size(), 5'000u);
  const size_t before = lines_.size();
  Log(LogLevel::kInfo, "rate_test_other");
  EXPECT_EQ(lines_.size(), before + 1);
  EXPECT_THAT(lines_.back(), HasSubstr("event=rate_test_other"));
}

}  // namespace
}  // namespace wheelpit
