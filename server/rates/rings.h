// Rings of windowed counts: how much a series grew in each of the last 64 slots of 1, 10 and 60 seconds. Pure: `now` is an argument.
//
// Not thread-safe; SeriesStore guards them. 792 bytes each while every slot fits 32 bits; a slot that does not gives its ring set
// slots of 64 bits, and a fractional increment slots of double, besides. Source: docs/life_of_a_report.md.
//
// What comes in the newest second is summed up in one place and enters the three slots when a later second begins: a count then touches
// one line of memory instead of four. Readers add it to the newest slots.
//
//   RingTime time(event_ms, interval_ms, now_ms);      // once per record
//   rings.Add(delta, time);                            // per sample
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"

namespace wheelpit {

// The window [start, end) that an increase is exact for, whole seconds of aggregator time.
struct Window {
  int64_t start_s = 0;
  int64_t end_s = 0;
};

// The window that `window_ms` (rounded up to whole seconds, 1 s..1 h) means at `now_ms`: ends at floor(now), starts on a slot edge.
Window WindowAt(int64_t now_ms, int64_t window_ms);

// How much of a window the history covers that is known since `history_start_ms`.
struct Coverage {
  double share = 0;       // 0..1
  double covered_s = 0;   // divide an increase by this, not by the window, when share < 1
  bool ready = false;     // false: too little is known to answer (below min(window, 30 s))
};
Coverage CoverageOf(Window window, int64_t history_start_ms);

// Where the growth of one span of time goes, worked out once for all the samples of a record.
class RingTime {
 public:
  // An event at `event_ms` that covers [event_ms - interval_ms, event_ms]. Times after `now_ms` count as now.
  RingTime(int64_t event_ms, int64_t interval_ms, int64_t now_ms);

 private:
  friend class Rings;
  static constexpr int64_t kTooOld = INT64_MIN;
  // Seconds of equal weight: a part of a slot at either end, whole slots between, and what is older than every ring.
  struct Part {
    int64_t first_s;    // kTooOld: older than every ring
    int64_t seconds;
    int64_t weight_ms;  // of each second
  };
  int64_t now_s_;
  int64_t total_ms_ = 0;  // 0: everything goes to one second
  int64_t second_ = 0;
  absl::InlinedVector<Part, 4> parts_;
};

class Rings {
 public:
  Rings();
  ~Rings();
  Rings(const Rings&) = delete;
  Rings& operator=(const Rings&) = delete;

  // Adds `delta`; spread by overlap with 1 s slots when the time covers more than 1 s (largest remainder, older seconds first among
  // equals: the sum stays exact). Parts older than a ring skip it. Returns the part that was older than every ring.
  uint64_t Add(uint64_t delta, const RingTime& time) {
    if (time.total_ms_ == 0 && time.second_ == newest_s_ && wide_ == nullptr && delta <= kApartMax &&
        newest_count_ + delta <= kApartMax) [[likely]] {
      newest_count_ += delta;
      return 0;
    }
    return AddSlow(delta, time);
  }
  uint64_t Add(uint64_t delta, int64_t event_ms, int64_t interval_ms, int64_t now_ms) {
    return Add(delta, RingTime(event_ms, interval_ms, now_ms));
  }
  // What Add will touch in the newest second.
  void Prefetch() const { __builtin_prefetch(&newest_s_, 1); }
  // Fractional growth; from the first one on Increase() may be fractional.
  double AddFraction(double delta, const RingTime& time);

  // Increase over WindowAt(now_ms, window_ms). Exact while no fraction was added.
  uint64_t Increase(int64_t now_ms, int64_t window_ms) const;
  // The same, with fractions.
  double IncreaseAsDouble(int64_t now_ms, int64_t window_ms) const;
  // Increase over [window.start_s, window.end_s) as WindowAt gives it.
  uint64_t IncreaseOver(Window window) const;
  double IncreaseOverAsDouble(Window window) const;
  bool has_fractions() const;
  // The slot that is running now (mode=open adds it).
  uint64_t Running(int64_t now_ms) const;
  double RunningAsDouble(int64_t now_ms) const;
  // Newest second that has a count; INT64_MIN if none.
  int64_t newest_s() const;
  // Nothing but zeros is left of them at `now_ms`.
  bool Expired(int64_t now_ms) const;
  size_t bytes() const;

  // For checkpoints: appends a compact encoding; Decode consumes it and returns false on damage.
  void EncodeTo(std::string* out) const;
  static bool Decode(absl::string_view* in, Rings* out);

 private:
  static constexpr int kRings = 3;
  static constexpr int kSlots = 64;
  static constexpr int64_t kNever = INT64_MIN;
  // With a slot of 32 bits it stays below 2^64.
  static constexpr uint64_t kApartMax = uint64_t{1} << 62;
  template <typename T>
  using Slots = std::array<std::array<T, kSlots>, kRings>;
  // Of slots that outgrew 32 bits, or of a series with fractions.
  using Wide = std::variant<Slots<uint64_t>, Slots<double>>;

  uint64_t AddSlow(uint64_t delta, const RingTime& time);
  // Returns false if `second` is older than every ring.
  bool AddAt(int64_t second, uint64_t delta, int64_t now_s);
  // `second` is not after the newest.
  void AddToSlots(int64_t second, uint64_t delta);
  // Moves what was summed up apart into the slots.
  void Spill();
  bool AddFractionAt(int64_t second, double delta, int64_t now_s);
  // Makes `second` the newest: zeroes the slots on the way to it.
  void MoveTo(int64_t second);
  void WidenToIntegral();
  void WidenToDouble();
  // The count of slot `k`, with what has not been spilled.
  template <typename T>
  T Slot(size_t ring, int64_t k) const;
  template <typename T>
  T SumRange(size_t ring, int64_t from_s, int64_t to_s) const;
  template <typename T>
  T SumWindow(Window window) const;

  int64_t newest_s_ = kNever;
  uint64_t newest_count_ = 0;  // of newest_s_, not in its slots; 0 once wide_ is in use
  std::unique_ptr<Wide> wide_;
  // Not in use once wide_ is.
  uint32_t narrow_[kRings][kSlots] = {};
};
static_assert(sizeof(Rings) == 792);

}  // namespace wheelpit
