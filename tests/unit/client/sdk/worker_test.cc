#include "client/sdk/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "base/sync.h"
#include "client/sdk/submitter.h"
#include "tests/support/fake_aggregator.h"

namespace wheelpit {
namespace {

class WorkerTest : public testing::Test {
 protected:
  WorkerOptions Options(uint32_t slots = 1) {
    WorkerOptions options;
    options.client.address = server_.address();
    options.client.retry = {absl::Milliseconds(5), absl::Milliseconds(50)};
    options.queues.push_back({"q"});
    options.slots = slots;
    options.on_finished = [this](const FinishedRun& run) {
      MutexLock lock(&mu_);
      finished_.push_back(run);
    };
    return options;
  }
  std::string Submit(const std::string& payload) {
    if (submitter_ == nullptr) {
      SubmitterOptions options;
      options.client.address = server_.address();
      options.client.retry = {absl::Milliseconds(5), absl::Milliseconds(50)};
      submitter_ = Submitter::Create(options).value();
    }
    NewTask task;
    task.queue = "q";
    task.payload = payload;
    return submitter_->SubmitAndWait(task).value().id;
  }
  v1::TaskState State(const std::string& id) { return server_.tasks()[id].task.state(); }
  bool WaitState(const std::string& id, v1::TaskState state) {
    return server_.WaitFor([&] { return State(id) == state; });
  }
  std::vector<FinishedRun> finished() {
    MutexLock lock(&mu_);
    return finished_;
  }

  FakeAggregator server_;
  std::unique_ptr<Submitter> submitter_;
  Mutex mu_;
  std::vector<FinishedRun> finished_ ABSL_GUARDED_BY(mu_);
};

TEST_F(WorkerTest, AHandlersResultIsTheTasks) {
  const std::string id = Submit("abc");
  auto worker = Worker::Create(Options(), [](TaskRun& task) {
                  EXPECT_EQ(task.attempt(), 1);
                  EXPECT_GT(task.token(), 0);
                  EXPECT_EQ(task.queue(), "q");
                  return RunOutcome::Complete(task.payload() + "!");
                }).value();
  ASSERT_TRUE(WaitState(id, v1::TASK_STATE_SUCCEEDED));
  EXPECT_EQ(server_.tasks()[id].task.result(), "abc!");
  worker->Drain();
  ASSERT_TRUE(worker->Wait(absl::Seconds(30)).ok());
  ASSERT_EQ(finished().size(), 1);
  EXPECT_EQ(finished()[0].task_id, id);
  EXPECT_TRUE(finished()[0].status.ok());
  EXPECT_EQ(worker->stats().completed, 1);
}

TEST_F(WorkerTest, FailuresAreRetriedOrFinal) {
  const std::string twice = Submit("twice");
  const std::string never = Submit("never");
  auto worker = Worker::Create(Options(), [](TaskRun& task) {
                  if (task.payload() == "never") return RunOutcome::FailForGood("broken for good");
                  if (task.attempt() < 3) return RunOutcome::Fail("not yet");
                  return RunOutcome::Complete();
                }).value();
  ASSERT_TRUE(WaitState(twice, v1::TASK_STATE_SUCCEEDED));
  ASSERT_TRUE(WaitState(never, v1::TASK_STATE_DEAD));
  EXPECT_EQ(server_.tasks()[twice].task.attempts(), 3);
  EXPECT_EQ(server_.tasks()[twice].task.last_error(), "not yet");
  EXPECT_EQ(server_.tasks()[never].task.attempts(), 1);
  EXPECT_EQ(server_.tasks()[never].task.dead_reason(), "not_retryable");
}

TEST_F(WorkerTest, AResultThatIsTooLargeFailsForGood) {
  server_.SetResultBytesMax(10);
  const std::string id = Submit("x");
  auto worker = Worker::Create(Options(), [](TaskRun&) {
                  return RunOutcome::Complete(std::string(11, 'y'));
                }).value();
  ASSERT_TRUE(WaitState(id, v1::TASK_STATE_DEAD));
  EXPECT_EQ(server_.tasks()[id].task.dead_reason(), "not_retryable");
  EXPECT_THAT(server_.tasks()[id].task.last_error(), testing::HasSubstr("11 bytes"));
  ASSERT_TRUE(server_.WaitFor([&] { return finished().size() == 1; }));
  EXPECT_EQ(finished()[0].kind, RunOutcome::Kind::kFailForGood);
}

TEST_F(WorkerTest, SlotsRunAtTheSameTimeAndNoMore) {
  constexpr uint32_t kSlots = 4;
  std::vector<std::string> ids;
  for (int i = 0; i < 12; ++i) ids.push_back(Submit("x"));
  Mutex mu;
  CondVar changed;
  uint32_t running = 0, most = 0, arrived = 0;
  auto worker = Worker::Create(Options(kSlots), [&](TaskRun&) {
                  MutexLock lock(&mu);
                  most = std::max(most, ++running);
                  ++arrived;
                  changed.SignalAll();
                  // The first ones wait for each other, so they can only end if they run together.
                  while (arrived < kSlots) changed.Wait(&mu);
                  --running;
                  return RunOutcome::Complete();
                }).value();
  for (const std::string& id : ids) ASSERT_TRUE(WaitState(id, v1::TASK_STATE_SUCCEEDED));
  MutexLock lock(&mu);
  EXPECT_EQ(most, kSlots);
}

TEST_F(WorkerTest, OutcomesSurviveCutsAndEachTaskCompletesOnce) {
  server_.SetFaults({.seed = 3, .cut_before_apply = 0.2, .cut_after_apply = 0.2});
  constexpr int kTasks = 150;
  std::vector<std::string> ids;
  for (int i = 0; i < kTasks; ++i) ids.push_back(Submit(std::to_string(i)));
  std::atomic<int> runs{0};
  auto worker = Worker::Create(Options(3), [&](TaskRun& task) {
                  ++runs;
                  return RunOutcome::Complete(task.payload());
                }).value();
  ASSERT_TRUE(server_.WaitFor([&] {
    for (const auto& [id, record] : server_.tasks()) {
      if (record.task.state() != v1::TASK_STATE_SUCCEEDED) return false;
    }
    return true;
  }));
  EXPECT_GT(worker->stats().reconnects, 0);
  server_.SetFaults({});
  worker->Drain();
  ASSERT_TRUE(worker->Wait(absl::Seconds(30)).ok());
  for (const auto& [id, record] : server_.tasks()) {
    EXPECT_EQ(record.completions, 1) << id;
  }
  // Leases outlive the connection, so nothing ran twice; each execution was told once.
  EXPECT_EQ(runs, kTasks);
  std::set<std::string> told;
  for (const FinishedRun& run : finished()) {
    EXPECT_TRUE(run.status.ok()) << run.status;
    told.insert(run.task_id);
  }
  EXPECT_EQ(told.size(), kTasks);
  EXPECT_EQ(finished().size(), kTasks);
}

TEST_F(WorkerTest, ARestartedServerKeepsTheLeaseAndTakesTheOutcome) {
  const std::string id = Submit("x");
  Mutex mu;
  CondVar changed;
  bool go = false;
  auto worker = Worker::Create(Options(), [&](TaskRun&) {
                  MutexLock lock(&mu);
                  while (!go) changed.Wait(&mu);
                  return RunOutcome::Complete("done");
                }).value();
  ASSERT_TRUE(WaitState(id, v1::TASK_STATE_LEASED));
  server_.Stop();
  {
    MutexLock lock(&mu);
    go = true;
    changed.SignalAll();
  }
  ASSERT_TRUE(server_.WaitFor([&] { return !worker->stats().connected; }));
  server_.Start();
  ASSERT_TRUE(WaitState(id, v1::TASK_STATE_SUCCEEDED));
  EXPECT_EQ(server_.tasks()[id].task.attempts(), 1);
}

TEST_F(WorkerTest, ALostLeaseIsToldToTheHandler) {
  const std::string id = Submit("x");
  std::atomic<int> lost{0};
  auto worker = Worker::Create(Options(), [&](TaskRun& task) {
                  if (task.attempt() > 1) return RunOutcome::Complete("second");
                  if (task.WaitCancelled(absl::Seconds(60)) && task.lease_lost()) ++lost;
                  return RunOutcome::Complete("first");
                }).value();
  ASSERT_TRUE(server_.WaitFor([&] { return worker->stats().running == 1; }));
  server_.LoseLease(id);
  ASSERT_TRUE(WaitState(id, v1::TASK_STATE_SUCCEEDED));
  EXPECT_EQ(lost, 1);
  EXPECT_EQ(server_.tasks()[id].task.result(), "second");
  ASSERT_TRUE(server_.WaitFor([&] { return finished().size() == 2; }));
  EXPECT_EQ(StatusReason(finished()[0].status), "LEASE_LOST");
  EXPECT_EQ(worker->stats().lost, 1);
}

TEST_F(WorkerTest, ACancelIsToldToTheHandlerAndFinishedWorkStillCounts) {
  const std::string id = Submit("x");
  auto worker = Worker::Create(Options(), [&](TaskRun& task) {
                  EXPECT_TRUE(task.WaitCancelled(absl::Seconds(60)));
                  EXPECT_FALSE(task.lease_lost());
                  return RunOutcome::Complete("anyway");
                }).value();
  ASSERT_TRUE(server_.WaitFor([&] { return worker->stats().running == 1; }));
  server_.RequestCancel(id);
  ASSERT_TRUE(WaitState(id, v1::TASK_STATE_SUCCEEDED));
}

TEST_F(WorkerTest, DrainFinishesWhatRunsAndTakesNothingNew) {
  const std::string first = Submit("1");
  Mutex mu;
  CondVar changed;
  bool go = false;
  auto worker = Worker::Create(Options(), [&](TaskRun&) {
                  MutexLock lock(&mu);
                  while (!go) changed.Wait(&mu);
                  return RunOutcome::Complete();
                }).value();
  ASSERT_TRUE(server_.WaitFor([&] { return worker->stats().running == 1; }));
  worker->Drain();
  EXPECT_EQ(worker->Wait(absl::Milliseconds(50)).code(), absl::StatusCode::kDeadlineExceeded);
  const std::string second = Submit("2");
  {
    MutexLock lock(&mu);
    go = true;
    changed.SignalAll();
  }
  ASSERT_TRUE(worker->Wait(absl::Seconds(30)).ok());
  EXPECT_EQ(State(first), v1::TASK_STATE_SUCCEEDED);
  EXPECT_EQ(State(second), v1::TASK_STATE_READY);
  EXPECT_EQ(server_.tasks()[second].task.attempts(), 0);
  EXPECT_TRUE(server_.WaitFor([&] { return server_.work_streams() == 0; }));
}

TEST_F(WorkerTest, DestructionCancelsAndReleases) {
  const std::string id = Submit("x");
  {
    auto worker = Worker::Create(Options(), [&](TaskRun& task) {
                    EXPECT_TRUE(task.WaitCancelled(absl::Seconds(60)));
                    return RunOutcome::Release();
                  }).value();
    ASSERT_TRUE(server_.WaitFor([&] { return worker->stats().running == 1; }));
  }
  EXPECT_EQ(State(id), v1::TASK_STATE_READY);
  EXPECT_EQ(server_.tasks()[id].task.releases(), 1);
  EXPECT_EQ(server_.tasks()[id].task.failures(), 0);
}

TEST_F(WorkerTest, CompletionsShareMessages) {
  constexpr uint32_t kSlots = 16;
  std::vector<std::string> ids;
  for (uint32_t i = 0; i < kSlots; ++i) ids.push_back(Submit("x"));
  Mutex mu;
  CondVar changed;
  uint32_t arrived = 0;
  auto worker = Worker::Create(Options(kSlots), [&](TaskRun&) {
                  MutexLock lock(&mu);
                  ++arrived;
                  changed.SignalAll();
                  while (arrived < kSlots) changed.Wait(&mu);
                  return RunOutcome::Complete();
                }).value();
  for (const std::string& id : ids) ASSERT_TRUE(WaitState(id, v1::TASK_STATE_SUCCEEDED));
  const auto [messages, completions] = server_.completions();
  EXPECT_EQ(completions, kSlots);
  EXPECT_LT(messages, kSlots);
}

TEST_F(WorkerTest, BadOptionsAreRefused) {
  const auto handler = [](TaskRun&) { return RunOutcome::Complete(); };
  WorkerOptions none = Options();
  none.queues.clear();
  EXPECT_FALSE(Worker::Create(none, handler).ok());
  EXPECT_FALSE(Worker::Create(Options(0), handler).ok());
}

}  // namespace
}  // namespace wheelpit
