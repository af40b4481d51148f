#include "base/code_pages.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace wheelpit {
namespace {

int64_t FileKiB() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    int64_t kib = 0;
    if (word == "RssFile:" && status >> kib) return kib;
  }
  return -1;
}

int written = 1;

TEST(CodePagesTest, FewerAreResidentAndAllOfThemStillWork) {
  written = 2;
  const int64_t before = FileKiB();
  ReleaseCodePages();
  const int64_t after = FileKiB();
  ASSERT_GT(before, 0);
  EXPECT_LT(after, before * 9 / 10);
  EXPECT_EQ(written, 2);
  EXPECT_EQ(std::to_string(12) + "3", "123");
  ReleaseCodePages();
}

}  // namespace
}  // namespace wheelpit
