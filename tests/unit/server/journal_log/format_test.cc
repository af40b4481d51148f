// The bytes on disk are those of docs/formats.md, and a folder that format 1 wrote opens.
// WHEELPIT_UPDATE_GOLDENS=1 rewrites it: do so only for a format that was never released.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "base/crc32c.h"
#include "server/journal/little_endian.h"
#include "tests/unit/server/journal_log/log_harness.h"

namespace wheelpit {
namespace {

const char* const kGoldenNames[] = {"VERSION", "seg-1.log", "seg-3.log", "ckpt-4.bin"};

class FormatTest : public testing::Test {
 protected:
  FormatTest() {
    options_.segment_bytes = 4096;
    options_.reserve_segments = 0;
  }

  // A short life: two segments, one checkpoint, no clean end.
  std::map<Lsn, std::string> Write() {
    LogLife life(&disk_, options_);
    EXPECT_TRUE(life.status().ok()) << life.status();
    for (int i = 0; i < 4; ++i) life.Append(20);
    life.log().Commit();
    life.set_append_during_checkpoint(false);
    EXPECT_TRUE(life.Checkpoint().ok());
    for (int i = 0; i < 3; ++i) {
      life.Append(1900);
      life.log().Commit();
    }
    disk_.Crash();
    return life.fold().state();
  }

  static std::string GoldenPath(absl::string_view name) {
    return absl::StrCat(WHEELPIT_SOURCE_DIR, "/tests/unit/server/journal_log/format_1/", name);
  }
  static std::string ReadGolden(absl::string_view name) {
    std::ifstream in(GoldenPath(name), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }

  FaultFileSystem disk_{FaultOptions{.seed = 1}};
  SegmentedLogOptions options_ = LogLife::Options();
};

TEST_F(FormatTest, WritesTheGoldenBytes) {
  Write();
  for (const char* name : kGoldenNames) {
    const std::string path = absl::StrCat("/journal/", name);
    ASSERT_THAT(disk_.Paths(), testing::Contains(path));
    if (getenv("WHEELPIT_UPDATE_GOLDENS") != nullptr)
      std::ofstream(GoldenPath(name), std::ios::binary) << disk_.Content(path);
    EXPECT_TRUE(disk_.Content(path) == ReadGolden(name)) << name << " differs";
  }
}

TEST_F(FormatTest, OpensTheGoldenFolder) {
  const auto before = Write();
  FaultFileSystem golden{FaultOptions{.seed = 1}};
  for (const char* name : kGoldenNames)
    golden.SetContent(absl::StrCat("/journal/", name), ReadGolden(name));
  LogLife life(&golden, options_);
  ASSERT_TRUE(life.status().ok()) << life.status();
  EXPECT_EQ(life.result().checkpoint_lsn, 4u);
  EXPECT_EQ(life.fold().state(), before);
}

TEST_F(FormatTest, AFrameIsLaidOutAsDescribed) {
  Write();
  const std::string version = disk_.Content("/journal/VERSION");
  const uint64_t log_id = std::stoull(version.substr(version.find("log_id ") + 7, 16), nullptr, 16);
  char id_bytes[8];
  StoreLe(id_bytes, log_id);
  const std::string segment = disk_.Content("/journal/seg-1.log");
  EXPECT_EQ(segment.substr(0, 4), "WPFM");
  EXPECT_EQ(LoadLe<uint32_t>(segment.data() + 4), 1u);
  EXPECT_EQ(LoadLe<uint64_t>(segment.data() + 8), 1u);
  EXPECT_EQ(LoadLe<uint64_t>(segment.data() + 16), 0u);
  EXPECT_EQ(LoadLe<uint32_t>(segment.data() + 24), 4u);
  const uint32_t bytes = LoadLe<uint32_t>(segment.data() + 28);
  EXPECT_EQ(bytes, 4 * (20 + 4 + 20u));
  EXPECT_EQ(LoadLe<uint32_t>(segment.data() + 32), 0u);
  const uint32_t crc = LoadLe<uint32_t>(segment.data() + 36);
  const uint32_t header_crc =
      Crc32c(absl::string_view(segment).substr(0, 36), Crc32c(absl::string_view(id_bytes, 8)));
  EXPECT_EQ(crc, Crc32c(absl::string_view(segment).substr(40, bytes), header_crc));
  const size_t next = (40 + bytes + 7) / 8 * 8;
  EXPECT_EQ(segment.substr(next, 4), "WPFM");
  EXPECT_EQ(LoadLe<uint64_t>(segment.data() + next + 8), 5u);
  EXPECT_EQ(LoadLe<uint64_t>(segment.data() + next + 16), 4u)
      << "what was synced when it was written";
  EXPECT_EQ(LoadLe<uint32_t>(segment.data() + next + 32), crc);
}

}  // namespace
}  // namespace wheelpit
