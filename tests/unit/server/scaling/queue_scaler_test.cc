#include "server/scaling/queue_scaler.h"

#include <cmath>

#include "gtest/gtest.h"

namespace wheelpit {
namespace {

constexpr int64_t kStart = 1'700'000'000'000;

QueueStats At(int64_t ms) {
  QueueStats s;
  s.at_ms = kStart + ms;
  return s;
}

uint64_t& Count(QueueStats* s, TaskState state) { return s->tasks[static_cast<size_t>(state)]; }

// Eleven buckets of `before`, then one of `last`, counted at the end of each second.
double RateAfter(uint64_t before, uint64_t last) {
  ArrivalRate rate;
  for (int bucket = 0; bucket < 12; ++bucket) {
    rate.Add(bucket < 11 ? before : last, kStart + bucket * 5000);
  }
  return rate.PerSecond(kStart + 11 * 5000 + 4999);
}

TEST(ArrivalRateTest, SteadyArrivalsAreTheirMean) { EXPECT_DOUBLE_EQ(RateAfter(50, 50), 10); }

TEST(ArrivalRateTest, AStepShowsAtOnceInPart) { EXPECT_NEAR(RateAfter(50, 500), 16.667, 0.001); }

TEST(ArrivalRateTest, ASingleBurstCountsAsThreeTasks) {
  ArrivalRate rate;
  rate.Add(10'000, kStart);
  EXPECT_DOUBLE_EQ(rate.PerSecond(kStart), 3.0 / 3 / 5);
}

TEST(ArrivalRateTest, FallsToZeroWithinAMinute) {
  ArrivalRate rate;
  for (int s = 0; s < 60; ++s) rate.Add(10, kStart + s * 1000);
  EXPECT_DOUBLE_EQ(rate.PerSecond(kStart + 59'000), 10);
  EXPECT_GT(rate.PerSecond(kStart + 89'000), 0);
  EXPECT_DOUBLE_EQ(rate.PerSecond(kStart + 120'000), 0);
}

TEST(ServiceTimeTest, ARunningTaskCountsBeforeItEnds) {
  ServiceTime service(6);
  service.Add(30, 0, kStart);
  EXPECT_DOUBLE_EQ(service.Seconds(), 12);
}

TEST(ServiceTimeTest, ForgetsByHalfLifeButKeepsATrustedMeasurement) {
  ServiceTime service(6);
  service.Add(200, 100, kStart);
  const double measured = service.Seconds();
  EXPECT_NEAR(measured, 2, 0.01);
  service.Add(0, 0, kStart + 100LL * 300'000);
  EXPECT_NEAR(service.Seconds(), measured, 0.05);
}

TEST(QueueScalerTest, AnIdleQueueNeedsNoWorkersAfterItsTimeout) {
  QueueScaler scaler{QueueConfig()};
  QueueStats s = At(0);
  scaler.Update(s);
  EXPECT_FALSE(scaler.Answer(kStart).active);
  s = At(1000);
  s.first_ready = 1;
  Count(&s, TaskState::kReady) = 1;
  scaler.Update(s);
  EXPECT_TRUE(scaler.Answer(kStart + 1000).active);
  EXPECT_GT(scaler.Answer(kStart + 1000).workers, 0);
  s = At(2000);
  s.first_ready = 1;
  s.completed = 1;
  scaler.Update(s);
  EXPECT_TRUE(scaler.Answer(kStart + 30'000).active);
  EXPECT_FALSE(scaler.Answer(kStart + 62'000).active);
  EXPECT_EQ(scaler.Answer(kStart + 62'000).workers, 0);
}

TEST(QueueScalerTest, APausedQueueCountsOnlyWhatRuns) {
  QueueScaler scaler{QueueConfig()};
  QueueStats s = At(0);
  s.flags.paused = true;
  Count(&s, TaskState::kReady) = 1000;
  Count(&s, TaskState::kLeased) = 2;
  scaler.Update(s);
  EXPECT_EQ(scaler.Answer(kStart).inputs.backlog, 0);
  EXPECT_LT(scaler.Answer(kStart).workers, 1);
  EXPECT_TRUE(scaler.Answer(kStart).active);
}

TEST(QueueScalerTest, MeasuresServiceTimeFromRunningAndFinished) {
  QueueScaler scaler{QueueConfig()};
  uint64_t done = 0;
  for (int t = 0; t <= 100; ++t) {
    QueueStats s = At(t * 1000);
    Count(&s, TaskState::kLeased) = 4;
    s.completed = done;
    done += 2;  // 4 slots, 2 a second: 2 s each
    scaler.Update(s);
  }
  EXPECT_NEAR(scaler.Answer(kStart + 100'000).inputs.service_s, 2, 0.1);
}

TEST(QueueScalerTest, LostAttemptsAreBusyButNotDone) {
  QueueScaler scaler{QueueConfig()};
  for (int t = 0; t <= 30; ++t) {
    QueueStats s = At(t * 1000);
    Count(&s, TaskState::kLeased) = 1;
    s.failed_attempts = s.lost_attempts = static_cast<uint64_t>(t);
    scaler.Update(s);
  }
  // Five executions of 6 s are assumed; 30 s of work came to no end.
  EXPECT_NEAR(scaler.Answer(kStart + 30'000).inputs.service_s, (5 * 6 + 30) / 5.0, 0.3);
}

// Two minutes with half the slots busy and 2 s a task, then a minute with all of them busy and `seconds` a task.
class Contention {
 public:
  explicit Contention(ContentionGuard guard, bool calm_first = true) : scaler_(QueueConfig()), guard_(guard) {
    if (calm_first) Run(120, 10, 2);
  }
  ScalingAnswer After(double seconds) {
    Run(60, 20, seconds);
    return scaler_.Answer(kStart + at_ms_);
  }
  ScalingAnswer Calm() {
    Run(1, 10, 2);
    return scaler_.Answer(kStart + at_ms_);
  }

 private:
  void Run(int for_s, uint64_t leased, double service_s) {
    for (int i = 0; i < for_s; ++i) {
      at_ms_ += 1000;
      done_ += static_cast<double>(leased) / service_s;
      QueueStats s = At(at_ms_);
      s.config.contention_guard = guard_;
      s.worker_sessions = s.worker_slots = 20;
      Count(&s, TaskState::kLeased) = leased;
      Count(&s, TaskState::kReady) = 3000;
      s.completed = static_cast<uint64_t>(done_);
      scaler_.Update(s);
    }
  }
  QueueScaler scaler_;
  const ContentionGuard guard_;
  int64_t at_ms_ = 0;
  double done_ = 0;
};

TEST(QueueScalerTest, TellsWhenBusyWorkersSlowEachOtherDown) {
  Contention guarded(ContentionGuard::kWarn);
  EXPECT_FALSE(guarded.Calm().service_time_inflated);
  const ScalingAnswer slow = guarded.After(4);
  EXPECT_TRUE(slow.service_time_inflated);
  EXPECT_GT(slow.workers, 60) << "a warning changes nothing";
  EXPECT_FALSE(guarded.Calm().service_time_inflated) << "while slots are idle nobody is hindered";
  EXPECT_FALSE(Contention(ContentionGuard::kWarn).After(2.5).service_time_inflated) << "a little longer is no news";
  EXPECT_FALSE(Contention(ContentionGuard::kOff).After(4).service_time_inflated);
  EXPECT_FALSE(Contention(ContentionGuard::kCap, /*calm_first=*/false).After(40).service_time_inflated)
      << "what was only assumed is no measure";
}

TEST(QueueScalerTest, TheCapBoundsTheNeedNearWhatThereIs) {
  // 20 * max(0.5, 1.5 * 2 / S60) + sqrt(20); S60 leans on five executions of 2 s.
  const double recent = (5 * 2 + 60 * 20) / (5 + 60 * 20 / 4.0);
  EXPECT_NEAR(Contention(ContentionGuard::kCap).After(4).workers, 20 * 1.5 * 2 / recent + std::sqrt(20), 0.3);
  // Much slower still: at least half of those that are there.
  EXPECT_NEAR(Contention(ContentionGuard::kCap).After(40).workers, 20 * 0.5 + std::sqrt(20), 0.01);
  EXPECT_GT(Contention(ContentionGuard::kCap).After(2).workers, 60) << "no contention, no cap";
}

TEST(QueueScalerTest, TheCostPolicyIsTheQueuesOwn) {
  QueueScaler scaler{QueueConfig()};
  QueueStats s = At(0);
  s.config.service_time_ms = 2000;
  Count(&s, TaskState::kLeased) = 20;
  scaler.Update(s);
  for (int t = 1; t <= 60; ++t) {
    s.at_ms += 1000;
    s.first_ready += 10;
    s.completed += 10;
    scaler.Update(s);
  }
  EXPECT_NEAR(scaler.Answer(s.at_ms).workers, 24.472, 0.5);
  s.config.scaling_policy = ScalingPolicy::kCost;
  scaler.Update(s);
  EXPECT_NEAR(scaler.Answer(s.at_ms).workers, 20 * 2 / 60.0, 0.05);
}

TEST(QueueScalerTest, AConfiguredServiceTimeCountsAtOnce) {
  QueueScaler scaler{QueueConfig()};
  QueueStats s = At(0);
  Count(&s, TaskState::kReady) = 60;
  scaler.Update(s);
  EXPECT_DOUBLE_EQ(scaler.Answer(kStart).workers, 6);
  s.at_ms += 1000;
  s.config.service_time_ms = 1000;
  scaler.Update(s);
  EXPECT_DOUBLE_EQ(scaler.Answer(kStart + 1000).workers, 1);
}

TEST(QueueScalerTest, StartupTimeNeedsThreeSamples) {
  QueueScaler scaler{QueueConfig()};
  int64_t t = 0;
  for (int sample = 0; sample < 3; ++sample) {
    EXPECT_EQ(scaler.Answer(kStart + t).inputs.startup_s, 0);
    QueueStats waiting = At(t);
    Count(&waiting, TaskState::kReady) = 10;
    scaler.Update(waiting);
    t += 8000;
    QueueStats served = At(t);
    served.worker_sessions = 5;
    served.worker_slots = 5;
    scaler.Update(served);
    t += 1000;
    scaler.Update(At(t));  // nothing wanted, nobody there
    t += 1000;
  }
  EXPECT_DOUBLE_EQ(scaler.Answer(kStart + t).inputs.startup_s, 8);
}

TEST(QueueScalerTest, HoldsItsLastAnswerAfterARestart) {
  QueueScaler before{QueueConfig()};
  QueueStats s = At(0);
  Count(&s, TaskState::kReady) = 300;
  before.Update(s);
  const ScalingState state = before.State(kStart);
  EXPECT_NEAR(state.needed_workers, 30, 0.001);

  QueueScaler after{QueueConfig()};
  after.Restore(state, kStart + 5000);
  after.Update(At(5000));
  EXPECT_NEAR(after.Answer(kStart + 6000).workers, 30, 0.001);
  EXPECT_EQ(after.Answer(kStart + 6000).largest, ScalingTerm::kHold);
  EXPECT_EQ(after.Answer(kStart + 65'000).workers, 0);
}

}  // namespace
}  // namespace wheelpit
