// Rings of windowed counts: how much a series grew in each of the last 64 slots of 1, 10 and 60 seconds. Pure: `now` is an argument.
//
// Not thread-safe; SeriesStore guards them. 784 bytes each while every slot fits 32 bits; a slot that does not widens its ring set
// to 64 bits. Source: the design's metrics pipeline, section 7 (docs/life_of_a_report.md).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace wheelpit {

// The window [start, end) that an increase is exact for, whole seconds of aggregator time.
struct Window {
  int64_t start_s = 0;
  int64_t end_s = 0;
};

// The window that `window_ms` (rounded up to whole seconds, 1 s..1 h) means at `now_ms`: ends at floor(now), starts on a slot edge.
Window WindowAt(int64_t now_ms, int64_t window_ms);

class Rings {
 public:
  Rings();
  ~Rings();
  Rings(Rings&&) noexcept;
  Rings& operator=(Rings&&) noexcept;

  // Adds `delta` at event time `event_ms`; spread over [event_ms - interval_ms, event_ms] by overlap with 1 s slots when
  // interval_ms > 1000 (largest remainder: the sum stays exact). Event times after `now_ms` count as now. Parts older than a ring skip
  // it. Returns the part that was older than every ring.
  uint64_t Add(uint64_t delta, int64_t event_ms, int64_t interval_ms, int64_t now_ms);

  // Increase over WindowAt(now_ms, window_ms).
  uint64_t Increase(int64_t now_ms, int64_t window_ms) const;
  // The slot that is running now (mode=open adds it).
  uint64_t Running(int64_t now_ms) const;
  // Newest second that has a count; INT64_MIN if none.
  int64_t newest_s() const;

  // For checkpoints: appends a compact encoding; Decode consumes it and returns false on damage.
  void EncodeTo(std::string* out) const;
  static bool Decode(absl::string_view* in, Rings* out);

 private:
  struct Slots;
  std::unique_ptr<Slots> slots_;
};

}  // namespace wheelpit
