#include "server/scaling/needed_workers.h"

#include <cmath>

#include "gtest/gtest.h"

namespace wheelpit {
namespace {

void Expect(const ScalingInputs& in, double workers, int replicas) {
  const NeededWorkers n = ComputeNeededWorkers(in);
  EXPECT_NEAR(n.workers, workers, 0.0005);
  EXPECT_EQ(static_cast<int>(std::ceil(n.workers - 1e-9)), replicas);
}

TEST(NeededWorkersTest, FirstTaskWantsOneWorker) { Expect({.backlog = 1, .service_s = 6}, 0.1, 1); }

TEST(NeededWorkersTest, FlowGetsSquareRootSafety) {
  Expect({.leased = 20, .arrival_rate = 10, .service_s = 2}, 24.472, 25);
  Expect({.leased = 20, .slots = 4, .arrival_rate = 10, .service_s = 2}, 6.118, 7);
}

TEST(NeededWorkersTest, BacklogIsWorkedOffWithinTheTarget) {
  ScalingInputs in{.backlog = 600, .leased = 25, .workers = 25, .arrival_rate = 10, .service_s = 2};
  Expect(in, 44.472, 45);
  in.oldest_age_s = 45;
  Expect(in, 64.472, 65);
}

TEST(NeededWorkersTest, BatchIsFinishedNotHalved) {
  Expect({.backlog = 10000, .service_s = 2, .wait_target_s = 300}, 66.667, 67);
  Expect({.backlog = 4933, .leased = 67, .oldest_age_s = 150, .service_s = 2, .wait_target_s = 300}, 66.667, 67);
  Expect({.backlog = 333, .leased = 67, .oldest_age_s = 290, .service_s = 2, .wait_target_s = 300}, 5.333, 6);
}

TEST(NeededWorkersTest, LongTasksKeepASlotEach) {
  Expect({.backlog = 4, .leased = 7, .arrival_rate = 0.01, .service_s = 600}, 12.449, 13);
  Expect({.leased = 3, .service_s = 600}, 3, 3);
}

TEST(NeededWorkersTest, OverloadCountsWhatGrowsWhileWorkersStart) {
  const ScalingInputs in{.backlog = 100, .leased = 5, .workers = 5, .arrival_rate = 20, .service_s = 1, .startup_s = 30};
  Expect(in, 33.639, 34);
}

TEST(NeededWorkersTest, LowAndHighFlow) {
  Expect({.arrival_rate = 0.05, .service_s = 1}, 0.274, 1);
  Expect({.slots = 10, .arrival_rate = 200, .service_s = 0.5}, 11.111, 12);
}

TEST(NeededWorkersTest, TheCostPolicyLeavesTheFlowOut) {
  // g * (B + F + grow) / c, g = 2/60.
  Expect({.leased = 20, .arrival_rate = 10, .service_s = 2, .cost = true}, 20 * 2 / 60.0, 1);
  Expect({.backlog = 600, .leased = 25, .workers = 25, .arrival_rate = 10, .service_s = 2, .cost = true}, 625 * 2 / 60.0, 21);
  // The oldest waits 45 s: half the target is left.
  Expect({.backlog = 600, .leased = 25, .oldest_age_s = 45, .workers = 25, .slots = 4, .arrival_rate = 10, .service_s = 2, .cost = true},
         625 * 2 / 30.0 / 4, 11);
  // What comes while workers start counts as ever: (20 - 5) * 30.
  Expect({.backlog = 100, .leased = 5, .workers = 5, .arrival_rate = 20, .service_s = 1, .startup_s = 30, .cost = true}, 555 / 60.0, 10);
  // Long tasks keep their slots.
  Expect({.backlog = 4, .leased = 7, .arrival_rate = 0.01, .service_s = 600, .cost = true}, 11, 11);
  EXPECT_EQ(ComputeNeededWorkers({.leased = 20, .arrival_rate = 10, .service_s = 2, .cost = true}).largest, ScalingTerm::kInFlight);
}

// By Little's law a queue that is served so waits about half its target.
TEST(NeededWorkersTest, TheCostPolicySettlesAtHalfTheTarget) {
  double backlog = 0, workers = 1;
  for (int second = 0; second < 3600; ++second) {
    const double busy = std::min(workers, backlog + workers);
    backlog = std::max(0.0, backlog + 10 - busy / 2);
    workers = ComputeNeededWorkers({.backlog = backlog, .leased = busy, .oldest_age_s = backlog / 10, .workers = workers,
                                    .arrival_rate = 10, .service_s = 2, .cost = true}).workers;
  }
  EXPECT_NEAR(workers, 20, 1);
  EXPECT_GT(backlog / 10, 20);
  EXPECT_LT(backlog / 10, 40);
}

TEST(NeededWorkersTest, NeverZeroWhileWorkExists) {
  EXPECT_GE(ComputeNeededWorkers({.leased = 1, .service_s = 0}).workers, 0.001);
  EXPECT_EQ(ComputeNeededWorkers({.service_s = 5}).workers, 0);
}

TEST(NeededWorkersTest, NamesTheLargestTerm) {
  EXPECT_EQ(ComputeNeededWorkers({.service_s = 5}).largest, ScalingTerm::kNone);
  EXPECT_EQ(ComputeNeededWorkers({.backlog = 100, .service_s = 6}).largest, ScalingTerm::kBacklog);
  EXPECT_EQ(ComputeNeededWorkers({.leased = 3, .service_s = 600}).largest, ScalingTerm::kInFlight);
  EXPECT_EQ(ComputeNeededWorkers({.arrival_rate = 10, .service_s = 2}).largest, ScalingTerm::kFlow);
}

}  // namespace
}  // namespace wheelpit
