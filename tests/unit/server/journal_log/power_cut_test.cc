// Many lives of one log, each ended by a power cut, a crash or an I/O error at a random moment;
// after each: everything that was acknowledged is there, nothing is there that was not appended,
// and what is there is a prefix.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "absl/strings/numbers.h"
#include "tests/unit/server/journal_log/log_harness.h"

namespace wheelpit {
namespace {

class PowerCutRun {
 public:
  explicit PowerCutRun(uint64_t seed) : rng_(seed), disk_(FaultOptions{.seed = seed * 31}) {
    options_.random_seed = seed;
    options_.segment_bytes = 4096 << rng_.Below(3);
  }

  // In mode always `acknowledged` = durable_lsn; after a crash without power cut that holds in
  // every mode.
  void Run(int lives, JournalDurability durability, bool power) {
    options_.durability = durability;
    std::map<Lsn, std::string> before;
    Lsn acknowledged = 0;
    for (int i = 0; i < lives; ++i) {
      LogLife life(&disk_, options_);
      if (!life.status().ok()) {
        // The power failed during recovery itself.
        ASSERT_TRUE(disk_.power_is_off()) << "life " << i << ": " << life.status();
        disk_.Restart();
        continue;
      }
      ExpectPrefix(before, life.fold().state(), acknowledged);
      if (testing::Test::HasFatalFailure() || testing::Test::HasNonfatalFailure()) return;
      recovered_ = std::max(recovered_, life.result().last_lsn);
      cut_bytes_ += life.result().cut_bytes;
      Live(&life, power);
      before = life.fold().state();
      acknowledged = life.log().durable_lsn();
      if (power && !disk_.power_is_off()) disk_.PowerCut();
      if (!power) disk_.Crash();
      disk_.Restart();
      // The next recovery may be cut short too.
      if (power && rng_.Chance(0.2)) disk_.CutPowerAfter(1 + rng_.Below(10));
    }
  }

  Lsn recovered() const { return recovered_; }
  uint64_t cut_bytes() const { return cut_bytes_; }

 private:
  void Live(LogLife* life, bool power) {
    if (power && rng_.Chance(0.7)) disk_.CutPowerAfter(1 + rng_.Below(60));
    disk_.FailWrite(rng_.Chance(0.1) ? 1 + rng_.Below(20) : 0);
    disk_.FailSync(rng_.Chance(0.1) ? 1 + rng_.Below(20) : 0);
    const uint64_t steps = rng_.Below(60);
    for (uint64_t step = 0; step < steps; ++step) {
      const uint64_t what = rng_.Below(20);
      if (what < 12) {
        life->Append(rng_.Below(10) == 0 ? rng_.Below(3000) : rng_.Below(200));
      } else if (what < 18) {
        life->log().Commit();
      } else if (what < 19) {
        life->log().Sync();
      } else {
        life->Checkpoint().IgnoreError();
      }
    }
    disk_.FailWrite(0);
    disk_.FailSync(0);
  }

  Rng rng_;
  FaultFileSystem disk_;
  SegmentedLogOptions options_ = LogLife::Options();
  Lsn recovered_ = 0;
  uint64_t cut_bytes_ = 0;
};

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  uint64_t value = 0;
  const char* text = getenv(name);
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

// A failure is repeated with WHEELPIT_TEST_SEED=<seed>; WHEELPIT_TEST_SEEDS=<n> runs as many from
// there.
void ForSeeds(uint64_t count, const std::function<void(uint64_t)>& run) {
  const uint64_t first = FromEnvironment("WHEELPIT_TEST_SEED", 1);
  if (getenv("WHEELPIT_TEST_SEED") != nullptr) count = FromEnvironment("WHEELPIT_TEST_SEEDS", 1);
  for (uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE(absl::StrCat("replay: WHEELPIT_TEST_SEED=", seed));
    run(seed);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(PowerCutTest, AcknowledgedRecordsSurvivePowerCuts) {
  Lsn records = 0;
  uint64_t cut = 0;
  ForSeeds(150, [&](uint64_t seed) {
    PowerCutRun run(seed);
    run.Run(12, JournalDurability::kAlways, true);
    records += run.recovered();
    cut += run.cut_bytes();
  });
  if (getenv("WHEELPIT_TEST_SEED") != nullptr) return;
  EXPECT_GT(records, 1000u);
  EXPECT_GT(cut, 1000u) << "no torn tail was ever seen: the disk is too kind";
}

TEST(PowerCutTest, WrittenRecordsSurviveCrashesInEveryMode) {
  ForSeeds(40, [](uint64_t seed) { PowerCutRun(seed).Run(8, JournalDurability::kOs, false); });
  ForSeeds(40,
           [](uint64_t seed) { PowerCutRun(seed).Run(8, JournalDurability::kInterval, false); });
}

// Without a sync before the acknowledgement the same power cuts lose acknowledged records: the
// suite above can see it.
TEST(PowerCutTest, TheSuiteSeesAnAcknowledgementBeforeSync) {
  bool lost = false;
  for (uint64_t seed = 1; seed <= 50 && !lost; ++seed) {
    FaultFileSystem disk{FaultOptions{.seed = seed}};
    SegmentedLogOptions options = LogLife::Options();
    options.durability = JournalDurability::kOs;
    Lsn acknowledged = 0;
    {
      LogLife life(&disk, options);
      for (int i = 0; i < 5; ++i) life.Append(300);
      life.log().Commit();
      acknowledged = life.log().durable_lsn();
      disk.PowerCut();
    }
    LogLife life(&disk, options);
    ASSERT_TRUE(life.status().ok()) << life.status();
    lost = life.result().last_lsn < acknowledged;
  }
  EXPECT_TRUE(lost);
}

}  // namespace
}  // namespace wheelpit
