// A clock that moves when told to.
#pragma once

#include "base/clock.h"

namespace wheelpit {

// Not thread-safe: one simulation owns it.
class SimulatedClock final : public Clock {
 public:
  explicit SimulatedClock(TimeMs now_ms) : now_ms_(now_ms) {}
  TimeMs NowMs() const override { return now_ms_; }
  int64_t MonotonicNanos() const override { return now_ms_ * 1'000'000; }
  absl::Time WallNow() const override { return absl::FromUnixMillis(now_ms_ + wall_offset_ms_); }
  void Advance(int64_t ms) { now_ms_ += ms; }
  // A restart may find any wall clock; aggregator time must not fall for it.
  void Set(TimeMs now_ms) { now_ms_ = now_ms; }
  void JumpWall(int64_t ms) { wall_offset_ms_ += ms; }

 private:
  TimeMs now_ms_;
  int64_t wall_offset_ms_ = 0;
};

}  // namespace wheelpit
