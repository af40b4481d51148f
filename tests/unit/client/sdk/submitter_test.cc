#include "client/sdk/submitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <set>
#include <thread>

#include "tests/support/fake_aggregator.h"

namespace wheelpit {
namespace {

class SubmitterTest : public testing::Test {
 protected:
  SubmitterOptions Options() {
    SubmitterOptions options;
    options.client.address = server_.address();
    options.client.retry = {absl::Milliseconds(5), absl::Milliseconds(50)};
    return options;
  }
  static NewTask Task(std::string payload, std::string key = "") {
    NewTask task;
    task.queue = "q";
    task.payload = std::move(payload);
    task.idempotency_key = std::move(key);
    return task;
  }

  FakeAggregator server_;
};

TEST_F(SubmitterTest, AReceiptNamesADurableTask) {
  auto submitter = Submitter::Create(Options()).value();
  const auto receipt = submitter->SubmitAndWait(Task("hello"));
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_FALSE(receipt->deduplicated);
  EXPECT_EQ(server_.tasks()[receipt->id].task.payload(), "hello");
  EXPECT_EQ(submitter->GetTask(receipt->id)->state, TaskInfo::State::kReady);
}

TEST_F(SubmitterTest, WhatArrivesDuringACallTravelsTogether) {
  auto options = Options();
  options.batches_in_flight_max = 1;
  auto submitter = Submitter::Create(options).value();
  server_.HoldSubmits(true);
  std::vector<std::future<absl::StatusOr<SubmitReceipt>>> receipts;
  receipts.push_back(submitter->SubmitAsync(Task("first")));
  ASSERT_TRUE(server_.WaitFor([&] { return server_.batch_sizes().size() == 1; }));
  for (int i = 0; i < 500; ++i) receipts.push_back(submitter->SubmitAsync(Task("more")));
  server_.HoldSubmits(false);
  for (auto& receipt : receipts) EXPECT_TRUE(receipt.get().ok());
  EXPECT_THAT(server_.batch_sizes(), testing::ElementsAre(1, 500));
}

TEST_F(SubmitterTest, BatchesStayWithinTheServersLimits) {
  auto options = Options();
  options.batches_in_flight_max = 1;
  auto submitter = Submitter::Create(options).value();
  server_.HoldSubmits(true);
  std::vector<std::future<absl::StatusOr<SubmitReceipt>>> receipts;
  receipts.push_back(submitter->SubmitAsync(Task("first")));
  ASSERT_TRUE(server_.WaitFor([&] { return server_.batch_sizes().size() == 1; }));
  for (int i = 0; i < 1500; ++i) receipts.push_back(submitter->SubmitAsync(Task("small")));
  for (int i = 0; i < 6; ++i) {
    receipts.push_back(submitter->SubmitAsync(Task(std::string(900'000, 'x'))));
  }
  // Larger than a batch may be: goes alone.
  receipts.push_back(submitter->SubmitAsync(Task(std::string(5 << 20, 'x'))));
  server_.HoldSubmits(false);
  for (auto& receipt : receipts) {
    const auto result = receipt.get();
    EXPECT_TRUE(result.ok()) << result.status();
  }
  const std::vector<int> sizes = server_.batch_sizes();
  EXPECT_THAT(sizes, testing::Each(testing::Le(1000)));
  EXPECT_EQ(std::accumulate(sizes.begin(), sizes.end(), 0), 1508);
}

TEST_F(SubmitterTest, OneTaskEachThroughCutsBeforeAndAfterApplying) {
  server_.SetFaults({.seed = 5, .cut_before_apply = 0.25, .cut_after_apply = 0.25});
  auto submitter = Submitter::Create(Options()).value();
  constexpr int kThreads = 4;
  constexpr int kEach = 50;
  std::vector<std::thread> threads;
  std::vector<std::set<std::string>> ids(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const auto receipt = submitter->SubmitAndWait(Task(std::to_string(t * kEach + i)));
        ASSERT_TRUE(receipt.ok()) << receipt.status();
        ids[static_cast<size_t>(t)].insert(receipt->id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> all;
  for (const auto& some : ids) all.insert(some.begin(), some.end());
  EXPECT_EQ(all.size(), kThreads * kEach);
  EXPECT_EQ(server_.tasks().size(), kThreads * kEach);
  EXPECT_GT(server_.duplicate_submits(), 0);
  EXPECT_GT(submitter->stats().retries, 0);
  EXPECT_EQ(server_.violations(), "");
}

TEST_F(SubmitterTest, ItemsThatMayComeLaterAreRetriedAlone) {
  server_.RefuseSubmits(3, true);
  auto submitter = Submitter::Create(Options()).value();
  std::vector<std::future<absl::StatusOr<SubmitReceipt>>> receipts;
  for (int i = 0; i < 5; ++i) receipts.push_back(submitter->SubmitAsync(Task("x")));
  for (auto& receipt : receipts) EXPECT_TRUE(receipt.get().ok());
  EXPECT_EQ(server_.tasks().size(), 5);
  EXPECT_EQ(submitter->stats().retries, 3);
}

TEST_F(SubmitterTest, FinalErrorsAreNotRetried) {
  auto submitter = Submitter::Create(Options()).value();
  NewTask nameless;
  const auto bad = submitter->SubmitAndWait(nameless);
  EXPECT_EQ(bad.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(StatusReason(bad.status()), "BAD_FIELD");
  server_.RefuseSubmits(1, false);
  const auto full = submitter->SubmitAndWait(Task("x"));
  EXPECT_EQ(StatusReason(full.status()), "QUEUE_FULL");
  EXPECT_EQ(submitter->stats().retries, 0);
  EXPECT_EQ(submitter->stats().failed, 2);
}

TEST_F(SubmitterTest, AKeyMakesOneTask) {
  auto submitter = Submitter::Create(Options()).value();
  const auto first = submitter->SubmitAndWait(Task("x", "key-1"));
  const auto second = submitter->SubmitAndWait(Task("x", "key-1"));
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->id, second->id);
  EXPECT_TRUE(second->deduplicated);
}

TEST_F(SubmitterTest, TheDeadlineEndsTheRetriesAndSaysWhy) {
  server_.Stop();
  auto options = Options();
  options.deadline = absl::Milliseconds(200);
  auto submitter = Submitter::Create(options).value();
  const auto receipt = submitter->SubmitAndWait(Task("x"));
  EXPECT_EQ(receipt.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(receipt.status().message()), testing::HasSubstr("UNAVAILABLE"));
}

TEST_F(SubmitterTest, ARestartedServerGetsWhatWasOutstanding) {
  auto submitter = Submitter::Create(Options()).value();
  ASSERT_TRUE(submitter->SubmitAndWait(Task("x")).ok());
  server_.Stop();
  auto receipt = submitter->SubmitAsync(Task("y"));
  ASSERT_TRUE(server_.WaitFor([&] { return submitter->stats().batches >= 2; }));
  server_.Start();
  EXPECT_TRUE(receipt.get().ok());
}

TEST_F(SubmitterTest, AFullSubmitterRefusesOrBlocks) {
  server_.HoldSubmits(true);
  auto options = Options();
  options.outstanding_max = 2;
  options.block_when_full = false;
  auto submitter = Submitter::Create(options).value();
  auto a = submitter->SubmitAsync(Task("a"));
  auto b = submitter->SubmitAsync(Task("b"));
  const auto refused = submitter->SubmitAndWait(Task("c"));
  EXPECT_EQ(StatusReason(refused.status()), "SUBMITTER_FULL");
  server_.HoldSubmits(false);
  EXPECT_TRUE(a.get().ok());
  EXPECT_TRUE(b.get().ok());

  options.block_when_full = true;
  auto blocking = Submitter::Create(options).value();
  std::atomic<int> done{0};
  for (int i = 0; i < 100; ++i) {
    blocking->Submit(Task("d"), [&](absl::StatusOr<SubmitReceipt> r) { done += r.ok() ? 1 : 0; });
    EXPECT_LE(blocking->stats().submitted - blocking->stats().settled, 2);
  }
  EXPECT_TRUE(blocking->Flush(absl::Seconds(30)).ok());
  EXPECT_EQ(done, 100);
}

TEST_F(SubmitterTest, CallbacksMaySubmit) {
  auto submitter = Submitter::Create(Options()).value();
  std::atomic<int> done{0};
  submitter->Submit(Task("a"), [&](absl::StatusOr<SubmitReceipt>) {
    submitter->Submit(Task("b"), [&](absl::StatusOr<SubmitReceipt> r) { done += r.ok() ? 1 : 0; });
  });
  EXPECT_TRUE(server_.WaitFor([&] { return done == 1; }));
}

TEST_F(SubmitterTest, DestructionSettlesEverything) {
  server_.HoldSubmits(true);
  std::vector<std::future<absl::StatusOr<SubmitReceipt>>> receipts;
  {
    auto submitter = Submitter::Create(Options()).value();
    for (int i = 0; i < 20; ++i) receipts.push_back(submitter->SubmitAsync(Task("x")));
  }
  for (auto& receipt : receipts) {
    EXPECT_EQ(receipt.get().status().code(), absl::StatusCode::kCancelled);
  }
  server_.HoldSubmits(false);
}

TEST_F(SubmitterTest, WaitTaskGivesTheStateAtTheEndOfItsTime) {
  auto submitter = Submitter::Create(Options()).value();
  const auto receipt = submitter->SubmitAndWait(Task("x"));
  const auto waited = submitter->WaitTask(receipt->id, absl::Milliseconds(20));
  ASSERT_TRUE(waited.ok()) << waited.status();
  EXPECT_EQ(waited->state, TaskInfo::State::kReady);
  EXPECT_EQ(StatusReason(submitter->WaitTask("nope", absl::Seconds(1)).status()), "TASK");
}

}  // namespace
}  // namespace wheelpit
