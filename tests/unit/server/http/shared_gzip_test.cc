#include "server/http/shared_gzip.h"

#include <atomic>
#include <thread>
#include <vector>

#include "base/http/gzip.h"
#include "gtest/gtest.h"

namespace wheelpit {
namespace {

TEST(SharedGzipTest, CompressesAsGzip) {
  SharedGzip gzip;
  const auto page = std::make_shared<const std::string>(std::string(10'000, 'x'));
  EXPECT_EQ(*gzip.Compress(page), GzipCompress(*page));
}

TEST(SharedGzipTest, WhoComesMeanwhileTakesTheSameResult) {
  constexpr size_t kWaiters = 3;
  const auto page = std::make_shared<const std::string>("page");
  std::atomic<int> runs{0};
  SharedGzip* shared = nullptr;
  SharedGzip gzip([&](absl::string_view text) {
    ++runs;
    // Held until all the others wait for it.
    while (shared->waiting() < kWaiters) std::this_thread::yield();
    return "z" + std::string(text);
  });
  shared = &gzip;
  std::vector<std::shared_ptr<const std::string>> results(kWaiters + 1);
  std::vector<std::thread> threads;
  for (auto& result : results) threads.emplace_back([&] { result = gzip.Compress(page); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(runs, 1);
  for (const auto& result : results) EXPECT_EQ(result, results[0]) << "one object";
  EXPECT_EQ(*results[0], "zpage");
}

TEST(SharedGzipTest, EachPageHasItsOwn) {
  SharedGzip gzip([](absl::string_view text) { return "z" + std::string(text); });
  const auto a = std::make_shared<const std::string>("a"), b = std::make_shared<const std::string>("b");
  EXPECT_EQ(*gzip.Compress(a), "za");
  EXPECT_EQ(*gzip.Compress(b), "zb");
  EXPECT_EQ(*gzip.Compress(a), "za");
}

}  // namespace
}  // namespace wheelpit
