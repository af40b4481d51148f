#include "server/gauges/queue_gauges.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace wheelpit {
namespace {

QueueStats MakeQueue(const std::string& name, uint64_t ready, uint64_t leased) {
  QueueStats queue;
  queue.name = name;
  queue.tasks[static_cast<size_t>(TaskState::kReady)] = ready;
  queue.tasks[static_cast<size_t>(TaskState::kLeased)] = leased;
  return queue;
}

// `name{queue,state}` -> value.
std::map<std::string, double> Flat(const std::vector<GaugeFamily>& families) {
  std::map<std::string, double> flat;
  for (const GaugeFamily& family : families) {
    EXPECT_FALSE(family.help.empty()) << family.name;
    for (const VirtualSeries& series : family.series) {
      EXPECT_EQ(series.name, family.name);
      flat[absl::StrCat(series.name, "{", series.labels.Get("queue"), ",", series.labels.Get("state"), "}")] = series.value;
    }
  }
  return flat;
}

TEST(QueueGaugesTest, CountsAndAgesAreThoseOfTheMoment) {
  ShardStats stats;
  QueueStats queue = MakeQueue("q", 7, 3);
  queue.tasks[static_cast<size_t>(TaskState::kDead)] = 2;
  queue.oldest_ready_since_ms = 10'000;
  queue.worker_slots = 8;
  queue.worker_slots_busy = 3;
  queue.config.tasks_max = 100;
  stats.queues = {queue};
  stats.dedupe_entries = 5;
  auto flat = Flat(QueueGaugeFamilies(stats, 12'500, {}));
  EXPECT_EQ(flat.at("wheelpit_queue_tasks{q,ready}"), 7);
  EXPECT_EQ(flat.at("wheelpit_queue_tasks{q,leased}"), 3);
  EXPECT_EQ(flat.at("wheelpit_queue_tasks{q,dead}"), 2);
  EXPECT_EQ(flat.at("wheelpit_queue_demand_tasks{q,}"), 10);
  EXPECT_EQ(flat.at("wheelpit_queue_oldest_ready_age_seconds{q,}"), 2.5);
  EXPECT_EQ(flat.at("wheelpit_queue_oldest_leased_age_seconds{q,}"), 0);
  EXPECT_EQ(flat.at("wheelpit_queue_worker_slots{q,idle}"), 5);
  EXPECT_EQ(flat.at("wheelpit_queue_limit_tasks{q,}"), 100);
  EXPECT_EQ(flat.at("wheelpit_dedupe_entries{,}"), 5);
}

TEST(QueueGaugesTest, PausedQueuesDemandOnlyWhatIsLeased) {
  ShardStats stats;
  stats.queues = {MakeQueue("q", 7, 3)};
  stats.queues[0].flags.paused = true;
  auto flat = Flat(QueueGaugeFamilies(stats, 1, {}));
  EXPECT_EQ(flat.at("wheelpit_queue_demand_tasks{q,}"), 3);
  EXPECT_EQ(flat.at("wheelpit_queue_paused{q,}"), 1);
}

TEST(QueueGaugesTest, QueuesBeyondTheLimitAreSummed) {
  ShardStats stats;
  for (int i = 0; i < 5; ++i) stats.queues.push_back(MakeQueue(absl::StrCat("q", i), 10, 1));
  stats.queues[3].oldest_ready_since_ms = 4000;
  stats.queues[4].oldest_ready_since_ms = 2000;
  auto flat = Flat(QueueGaugeFamilies(stats, 5000, {.metric_queues_max = 2}));
  EXPECT_EQ(flat.at("wheelpit_queue_tasks{q1,ready}"), 10);
  EXPECT_EQ(flat.count("wheelpit_queue_tasks{q2,ready}"), 0u);
  EXPECT_EQ(flat.at("wheelpit_queue_tasks{_other,ready}"), 30);
  EXPECT_EQ(flat.at("wheelpit_queue_oldest_ready_age_seconds{_other,}"), 3);
}

TEST(QueueGaugesTest, NothingPublishedMeansNoSeries) {
  QueueGauges gauges([] { return nullptr; });
  EXPECT_TRUE(gauges.Read(1).empty());
}

}  // namespace
}  // namespace wheelpit
