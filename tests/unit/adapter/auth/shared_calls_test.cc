#include "adapter/auth/shared_calls.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace wheelpit::adapter {
namespace {

// Five callers of one key, the first of which is held until the others wait.
std::vector<absl::StatusOr<int>> FiveAtOnce(SharedCalls<int>* calls, absl::StatusOr<int> answer, std::atomic<int>* made) {
  std::vector<absl::StatusOr<int>> got(5, absl::UnknownError("none"));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < got.size(); ++i) {
    threads.emplace_back([&, i] {
      got[i] = calls->Run("key", [&] {
        ++*made;
        while (calls->waiting() < got.size() - 1) std::this_thread::yield();
        return answer;
      });
    });
  }
  for (std::thread& thread : threads) thread.join();
  return got;
}

TEST(SharedCallsTest, WhoComesMeanwhileGetsTheAnswer) {
  SharedCalls<int> calls;
  std::atomic<int> made = 0;
  for (const absl::StatusOr<int>& got : FiveAtOnce(&calls, 7, &made)) {
    ASSERT_TRUE(got.ok());
    EXPECT_EQ(*got, 7);
  }
  EXPECT_EQ(made, 1);
  EXPECT_EQ(calls.waiting(), 0);
}

TEST(SharedCallsTest, AnErrorIsEveryonesAndTheNextOneAsksAgain) {
  SharedCalls<int> calls;
  std::atomic<int> made = 0;
  for (const absl::StatusOr<int>& got : FiveAtOnce(&calls, absl::UnavailableError("away"), &made)) {
    EXPECT_EQ(got.status(), absl::UnavailableError("away"));
  }
  EXPECT_EQ(made, 1);
  EXPECT_EQ(*calls.Run("key", [] { return 8; }), 8);
}

TEST(SharedCallsTest, OtherKeysAreOtherCalls) {
  SharedCalls<int> calls;
  const auto inner = [&] { return calls.Run("b", [] { return 2; }); };
  EXPECT_EQ(*calls.Run("a", inner), 2);
}

}  // namespace
}  // namespace wheelpit::adapter
