#include "server/gauges/queue_gauges.h"

#include <limits>
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
      flat[absl::StrCat(series.name, "{", series.labels.Get("queue"), ",", series.labels.Get("state"), series.labels.Get("window"),
                        series.labels.Get("term"), "}")] = series.value;
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
  auto flat = Flat(QueueGaugeFamilies(stats, {}, 12'500, {}));
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
  auto flat = Flat(QueueGaugeFamilies(stats, {}, 1, {}));
  EXPECT_EQ(flat.at("wheelpit_queue_demand_tasks{q,}"), 3);
  EXPECT_EQ(flat.at("wheelpit_queue_paused{q,}"), 1);
}

TEST(QueueGaugesTest, QueuesBeyondTheLimitAreSummed) {
  ShardStats stats;
  for (int i = 0; i < 5; ++i) stats.queues.push_back(MakeQueue(absl::StrCat("q", i), 10, 1));
  stats.queues[3].oldest_ready_since_ms = 4000;
  stats.queues[4].oldest_ready_since_ms = 2000;
  auto flat = Flat(QueueGaugeFamilies(stats, {}, 5000, {.metric_queues_max = 2}));
  EXPECT_EQ(flat.at("wheelpit_queue_tasks{q1,ready}"), 10);
  EXPECT_EQ(flat.count("wheelpit_queue_tasks{q2,ready}"), 0u);
  EXPECT_EQ(flat.at("wheelpit_queue_tasks{_other,ready}"), 30);
  EXPECT_EQ(flat.at("wheelpit_queue_oldest_ready_age_seconds{_other,}"), 3);
}

TEST(QueueGaugesTest, RatesAndTheDrainTimeComeFromTheQueuesCounters) {
  ShardStats stats;
  stats.queues = {MakeQueue("a", 120, 0), MakeQueue("b", 5, 0), MakeQueue("c", 0, 0)};
  QueueRatesByName rates;
  rates["a"].flows[static_cast<size_t>(QueueFlow::kSubmit)] = {1, 2, 3};
  rates["a"].flows[static_cast<size_t>(QueueFlow::kCompletion)] = {9, 4, 8};
  rates["a"].flows[static_cast<size_t>(QueueFlow::kLease)] = {5, 6, 7};
  auto flat = Flat(QueueGaugeFamilies(stats, rates, 1, {}));
  EXPECT_EQ(flat.at("wheelpit_queue_submit_rate_per_second{a,10s}"), 1);
  EXPECT_EQ(flat.at("wheelpit_queue_completion_rate_per_second{a,60s}"), 4);
  EXPECT_EQ(flat.at("wheelpit_queue_lease_rate_per_second{a,300s}"), 7);
  EXPECT_EQ(flat.at("wheelpit_queue_lease_rate_per_second{b,300s}"), 0);
  EXPECT_EQ(flat.at("wheelpit_queue_estimated_drain_seconds{a,}"), 30);
  EXPECT_EQ(flat.at("wheelpit_queue_estimated_drain_seconds{b,}"), std::numeric_limits<double>::infinity());
  EXPECT_EQ(flat.at("wheelpit_queue_estimated_drain_seconds{c,}"), 0);
  flat = Flat(QueueGaugeFamilies(stats, rates, 1, {.metric_queues_max = 0}));
  EXPECT_EQ(flat.at("wheelpit_queue_submit_rate_per_second{_other,300s}"), 3);
  EXPECT_EQ(flat.at("wheelpit_queue_estimated_drain_seconds{_other,}"), 125.0 / 4);
}

TEST(QueueGaugesTest, WhatScalingSaysIsShownWithItsReasons) {
  ShardStats stats;
  stats.queues = {MakeQueue("a", 1, 0), MakeQueue("b", 1, 0), MakeQueue("none", 1, 0)};
  stats.queues[0].scaling = QueueScaling{true, 24.4721, 10, 2, 20, 0.5, "flow", true};
  stats.queues[1].scaling = QueueScaling{true, 1, 0.5, 2, 1, 0.25, "hold"};
  auto flat = Flat(QueueGaugeFamilies(stats, {}, 1, {}));
  EXPECT_EQ(flat.at("wheelpit_queue_needed_workers{a,}"), 24.473) << "three decimals, rounded up";
  EXPECT_EQ(flat.at("wheelpit_queue_needed_workers{b,}"), 1);
  EXPECT_EQ(flat.count("wheelpit_queue_needed_workers{none,}"), 0u) << "unknown is not 0";
  EXPECT_EQ(flat.at("wheelpit_queue_arrival_rate_per_second{a,}"), 10);
  EXPECT_EQ(flat.at("wheelpit_queue_service_seconds{a,}"), 2);
  EXPECT_EQ(flat.at("wheelpit_queue_offered_slots{a,}"), 20);
  EXPECT_EQ(flat.at("wheelpit_queue_slots_per_waiting_task{b,}"), 0.25);
  EXPECT_EQ(flat.at("wheelpit_queue_service_time_inflated{a,}"), 1);
  EXPECT_EQ(flat.at("wheelpit_queue_service_time_inflated{b,}"), 0);
  EXPECT_EQ(flat.at("wheelpit_queue_needed_workers_term{a,flow}"), 1);
  EXPECT_EQ(flat.at("wheelpit_queue_needed_workers_term{a,hold}"), 0);
  EXPECT_EQ(flat.at("wheelpit_queue_needed_workers_term{b,hold}"), 1);

  flat = Flat(QueueGaugeFamilies(stats, {}, 1, {.metric_queues_max = 0}));
  EXPECT_EQ(flat.at("wheelpit_queue_needed_workers{_other,}"), 25.473);
  EXPECT_EQ(flat.at("wheelpit_queue_offered_slots{_other,}"), 21);
  EXPECT_EQ(flat.count("wheelpit_queue_service_seconds{_other,}"), 0u) << "no sum of times";
  EXPECT_EQ(flat.count("wheelpit_queue_service_time_inflated{_other,}"), 0u);
}

TEST(QueueGaugesTest, OneFamilyCanBeReadAlone) {
  ShardStats stats;
  stats.queues = {MakeQueue("a", 1, 0)};
  const auto one = QueueGaugeFamilies(stats, {}, 1, {}, "wheelpit_queue_paused");
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].name, "wheelpit_queue_paused");
  EXPECT_TRUE(QueueGaugeFamilies(stats, {}, 1, {}, "wheelpit_queue").empty());
}

TEST(QueueGaugesTest, NothingPublishedMeansNoSeries) {
  const SeriesStore store{SeriesLimits()};
  QueueGauges gauges([] { return nullptr; }, &store);
  EXPECT_TRUE(gauges.Read(1, "").empty());
}

}  // namespace
}  // namespace wheelpit
