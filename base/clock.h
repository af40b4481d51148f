// Time as it is passed in: the only place that reads a clock is SystemClock, made once by app/.
//
// "Aggregator time" (Now) is wall time read once at start and carried on by the monotonic clock: it neither jumps nor goes back.
// Deadlines and rates use it. WallNow is for log lines.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"

namespace wheelpit {

// Milliseconds of aggregator time since the Unix epoch. Records, metas and rings hold this.
using TimeMs = int64_t;

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Aggregator time; never falls.
  virtual TimeMs NowMs() const = 0;
  // For latencies; never falls, arbitrary zero.
  virtual int64_t MonotonicNanos() const = 0;
  // The machine's wall clock, which may jump.
  virtual absl::Time WallNow() const = 0;
};

// Starts from max(wall clock, `not_before_ms`), so that time does not fall over a restart under an earlier wall clock.
class SystemClock final : public Clock {
 public:
  explicit SystemClock(TimeMs not_before_ms = 0);
  TimeMs NowMs() const override;
  int64_t MonotonicNanos() const override;
  absl::Time WallNow() const override;
  // Recovery found a later stored time: carry on from there. Any thread.
  void AdvanceTo(TimeMs not_before_ms);

 private:
  const int64_t base_monotonic_ns_;
  // Aggregator time minus time since construction. Only rises. Relaxed: no reader derives other memory's state from it.
  std::atomic<int64_t> offset_ms_;
};

}  // namespace wheelpit
