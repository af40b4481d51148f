#include "base/clock.h"

#include <algorithm>
#include <chrono>

#include "absl/time/clock.h"

namespace wheelpit {
namespace {

int64_t SteadyNanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

SystemClock::SystemClock(TimeMs not_before_ms)
    : base_monotonic_ns_(SteadyNanos()),
      offset_ms_(std::max<TimeMs>(absl::ToUnixMillis(absl::Now()), not_before_ms)) {}

TimeMs SystemClock::NowMs() const {
  const int64_t since_start_ms = (SteadyNanos() - base_monotonic_ns_) / 1'000'000;
  return offset_ms_.load(std::memory_order_relaxed) + since_start_ms;
}

int64_t SystemClock::MonotonicNanos() const { return SteadyNanos(); }

absl::Time SystemClock::WallNow() const { return absl::Now(); }

void SystemClock::AdvanceTo(TimeMs not_before_ms) {
  const int64_t wanted = not_before_ms - (SteadyNanos() - base_monotonic_ns_) / 1'000'000;
  int64_t seen = offset_ms_.load(std::memory_order_relaxed);
  while (seen < wanted &&
         !offset_ms_.compare_exchange_weak(seen, wanted, std::memory_order_relaxed)) {
  }
}

}  // namespace wheelpit
