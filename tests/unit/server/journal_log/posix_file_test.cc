// The real file system, in a folder of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/errors.h"
#include "tests/unit/server/journal_log/log_harness.h"

namespace wheelpit {
namespace {

class PosixFileTest : public testing::Test {
 protected:
  PosixFileTest() {
    std::string name = testing::TempDir() + "/wheelpit_journal_XXXXXX";
    dir_ = mkdtemp(name.data());
    options_.dir = dir_ + "/deep/journal";
    options_.disk_low_bytes = 0;
  }
  ~PosixFileTest() override { std::filesystem::remove_all(dir_); }

  std::string dir_;
  SegmentedLogOptions options_ = LogLife::Options();
};

TEST_F(PosixFileTest, ALogSurvivesItsProcess) {
  std::map<Lsn, std::string> before;
  for (int life_number = 0; life_number < 3; ++life_number) {
    LogLife life(PosixFileSystem(), options_);
    ASSERT_TRUE(life.status().ok()) << life.status();
    EXPECT_EQ(life.result().created, life_number == 0);
    EXPECT_EQ(life.fold().state(), before);
    for (int i = 0; i < 100; ++i) {
      life.Append(200);
      if (i % 25 == 24) {
        ASSERT_TRUE(life.Checkpoint().ok());
      }
    }
    life.log().Commit();
    before = life.fold().state();
    EXPECT_GT(life.log().Usage().free_bytes, 0u);
  }
}

TEST_F(PosixFileTest, TheRefusalOfASecondProcessNamesTheFirst) {
  LogLife life(PosixFileSystem(), options_);
  ASSERT_TRUE(life.status().ok()) << life.status();
  LogLife second(PosixFileSystem(), options_);
  EXPECT_EQ(ErrorReason(second.status()), "LOCKED");
  EXPECT_THAT(std::string(second.status().message()),
              testing::HasSubstr(absl::StrCat("process ", getpid())));
}

TEST_F(PosixFileTest, GathersPiecesAndReadsUpToTheEnd) {
  auto file = PosixFileSystem()->Open(dir_ + "/f", OpenMode::kCreate);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->WriteAt(3, {"ab", "", "cde"}).ok());
  ASSERT_TRUE((*file)->SyncData().ok());
  char out[16] = {};
  EXPECT_EQ(*(*file)->ReadAt(2, sizeof out, out), 6u);
  EXPECT_EQ(absl::string_view(out, 6), absl::string_view("\0abcde", 6));
  ASSERT_TRUE((*file)->Allocate(5000).ok());
  EXPECT_EQ(*(*file)->Size(), 5000u);
  EXPECT_EQ(PosixFileSystem()->Open(dir_ + "/none", OpenMode::kRead).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace wheelpit
