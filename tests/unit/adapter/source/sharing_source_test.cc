#include "adapter/source/sharing_source.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/sync.h"

namespace wheelpit::adapter {
namespace {

// Answers with the number of the call, and only when it is let go.
class SlowSource final : public MetricSource {
 public:
  absl::string_view name() const override { return "slow"; }
  absl::Duration timeout_max() const override { return absl::Seconds(7); }

  absl::StatusOr<SourceResult> Query(absl::string_view promql, absl::Time, absl::Duration) override {
    MutexLock lock(&mu_);
    const int number = ++calls_;
    changed_.SignalAll();
    while (let_go_ < number) changed_.Wait(&mu_);
    if (promql == "bad") return MakeError(absl::StatusCode::kInvalidArgument, kReasonBadQuery, absl::StrCat("no ", number));
    SourceResult result;
    result.elements.push_back({{{"asked", std::string(promql)}}, static_cast<double>(number)});
    return result;
  }
  absl::StatusOr<SourceSeries> Series(const std::vector<std::string>&, absl::Duration) override {
    return SourceSeries{{{{"a", "b"}}}, true};
  }

  void AwaitCalls(int calls) {
    MutexLock lock(&mu_);
    while (calls_ < calls) changed_.Wait(&mu_);
  }
  // So many calls may end.
  void LetGo(int calls) {
    MutexLock lock(&mu_);
    let_go_ = calls;
    changed_.SignalAll();
  }
  int calls() {
    MutexLock lock(&mu_);
    return calls_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  int calls_ ABSL_GUARDED_BY(mu_) = 0;
  int let_go_ ABSL_GUARDED_BY(mu_) = 0;
};

class SharingSourceTest : public ::testing::Test {
 protected:
  struct Asker {
    absl::StatusOr<SourceResult> answer = absl::UnknownError("none yet");
    std::thread thread;
  };

  Asker* Ask(const std::string& promql, absl::Duration timeout = absl::Minutes(1), absl::Time time = absl::InfinitePast()) {
    askers_.push_back(std::make_unique<Asker>());
    Asker* const asker = askers_.back().get();
    asker->thread = std::thread([=, this] { asker->answer = source_->Query(promql, time, timeout); });
    return asker;
  }
  static double Value(const Asker& asker) { return asker.answer.ok() ? asker.answer->elements.at(0).value : -1; }
  void AwaitWaiting(size_t waiting) {
    while (source_->waiting() != waiting) std::this_thread::yield();
  }
  void Join() {
    for (auto& asker : askers_) asker->thread.join();
  }

  SystemClock clock_;
  SlowSource* const slow_ = new SlowSource;
  const std::unique_ptr<SharingSource> source_ =
      std::make_unique<SharingSource>(std::unique_ptr<MetricSource>(slow_), &clock_);
  std::vector<std::unique_ptr<Asker>> askers_;
};

TEST_F(SharingSourceTest, WhoComesDuringAQuestionSharesTheNextOne) {
  Asker* const first = Ask("x");
  slow_->AwaitCalls(1);
  std::vector<Asker*> later;
  for (int i = 0; i < 8; ++i) later.push_back(Ask("x"));
  AwaitWaiting(8);
  EXPECT_EQ(slow_->calls(), 1);
  slow_->LetGo(1);
  slow_->AwaitCalls(2);
  Asker* const last = Ask("x");
  AwaitWaiting(8);  // seven for the second question, one for the third
  slow_->LetGo(3);
  Join();
  EXPECT_EQ(Value(*first), 1);
  for (const Asker* asker : later) EXPECT_EQ(Value(*asker), 2);
  EXPECT_EQ(Value(*last), 3);
  EXPECT_EQ(slow_->calls(), 3);
  EXPECT_EQ(source_->waiting(), 0);
}

TEST_F(SharingSourceTest, WhoComesAfterAnAnswerAsksAnew) {
  slow_->LetGo(100);
  for (int i = 1; i <= 3; ++i) {
    const auto answer = source_->Query("x", absl::InfinitePast(), absl::Minutes(1));
    ASSERT_TRUE(answer.ok());
    EXPECT_EQ(answer->elements[0].value, i);
  }
}

TEST_F(SharingSourceTest, OtherQuestionsGoTheirOwnWay) {
  Ask("x");
  slow_->AwaitCalls(1);
  Ask("y");                                                // another question
  Ask("x", absl::Minutes(2));                              // another patience
  Ask("x", absl::Minutes(1), absl::FromUnixMillis(77));    // another time, twice
  Ask("x", absl::Minutes(1), absl::FromUnixMillis(77));
  slow_->AwaitCalls(5);
  slow_->LetGo(5);
  Join();
  EXPECT_EQ(Value(*askers_[0]), 1);
  std::set<double> values;
  for (const auto& asker : askers_) values.insert(Value(*asker));
  EXPECT_EQ(values, (std::set<double>{1, 2, 3, 4, 5}));
}

TEST_F(SharingSourceTest, ErrorsKeepTheirCauseForEveryone) {
  Ask("bad");
  slow_->AwaitCalls(1);
  Ask("bad");
  Ask("bad");
  AwaitWaiting(2);
  slow_->LetGo(2);
  Join();
  EXPECT_EQ(slow_->calls(), 2);
  for (size_t i = 0; i < 3; ++i) {
    const absl::Status status = askers_[i]->answer.status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ErrorReason(status), kReasonBadQuery);
    EXPECT_EQ(status.message(), i == 0 ? "no 1" : "no 2");
  }
}

TEST_F(SharingSourceTest, WhoseTimeIsUpLeavesAloneAndIsNotAskedFor) {
  Asker* const first = Ask("x", absl::Milliseconds(1));  // the source takes no notice of the time it has
  slow_->AwaitCalls(1);
  Asker* const impatient = Ask("x", absl::Milliseconds(1));
  impatient->thread.join();
  impatient->thread = std::thread([] {});
  EXPECT_EQ(impatient->answer.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ErrorReason(impatient->answer.status()), kReasonTimeout);
  EXPECT_EQ(source_->waiting(), 0);
  slow_->LetGo(100);
  Join();
  EXPECT_EQ(Value(*first), 1);
  EXPECT_EQ(slow_->calls(), 1);
  const auto again = source_->Query("x", absl::InfinitePast(), absl::Milliseconds(1));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->elements[0].value, 2);
}

TEST_F(SharingSourceTest, ManyAskersAllGetAnAnswerOfTheirOwnTime) {
  slow_->LetGo(1'000'000);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      double before = 0;
      for (int i = 0; i < 500; ++i) {
        const int asked = slow_->calls();
        const auto answer = source_->Query("x", absl::InfinitePast(), absl::Minutes(1));
        // Evaluated after it was asked for, and never going back.
        if (!answer.ok() || answer->elements[0].value <= asked || answer->elements[0].value < before) ++wrong;
        if (answer.ok()) before = answer->elements[0].value;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(slow_->calls(), 8 * 500);
}

TEST_F(SharingSourceTest, PassesTheRestOn) {
  EXPECT_EQ(source_->name(), "slow");
  EXPECT_EQ(source_->timeout_max(), absl::Seconds(7));
  const auto series = source_->Series({"x"}, absl::Seconds(1));
  ASSERT_TRUE(series.ok());
  EXPECT_TRUE(series->truncated);
}

}  // namespace
}  // namespace wheelpit::adapter
