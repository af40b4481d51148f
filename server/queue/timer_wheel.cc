#include "server/queue/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace wheelpit {

TimerWheel::TimerWheel(TaskTable* tasks) : tasks_(tasks) {
  for (uint32_t i = 0; i < heads_.size(); ++i) heads_[i] = {kHeadBase + i, kHeadBase + i};
}

void TimerWheel::Link(uint32_t list, uint32_t index) {
  const uint32_t head = kHeadBase + list;
  const uint32_t last = Prev(head);
  Next(index) = head;
  Prev(index) = last;
  Next(last) = index;
  Prev(head) = index;
}

void TimerWheel::Add(uint32_t index, int64_t due_ms) {
  // 8 digits hold 8,900 years from the epoch; later is never.
  constexpr int64_t kMax = (int64_t{1} << (kLevels * kDigit)) - 1;
  const int64_t due = std::min(due_ms, kMax);
  (*tasks_)[index].set(kInWheel);
  if (due <= time_) {
    Link(kDue, index);
    return;
  }
  const uint64_t differ = static_cast<uint64_t>(due) ^ static_cast<uint64_t>(time_);
  const int level = (63 - std::countl_zero(differ)) / kDigit;
  const uint32_t bucket = static_cast<uint32_t>(due >> (level * kDigit)) % kBuckets;
  occupied_[static_cast<size_t>(level)] |= uint64_t{1} << bucket;
  Link(static_cast<uint32_t>(level) * kBuckets + bucket, index);
}

void TimerWheel::Remove(uint32_t index) {
  TaskSlot& slot = (*tasks_)[index];
  const uint32_t next = slot.next;
  const uint32_t prev = slot.prev;
  Next(prev) = next;
  Prev(next) = prev;
  slot.next = slot.prev = kNoIndex;
  slot.clear(kInWheel);
  if (next == prev && next >= kHeadBase) {
    const uint32_t list = next - kHeadBase;
    if (list != kDue) occupied_[list / kBuckets] &= ~(uint64_t{1} << (list % kBuckets));
  }
}

bool TimerWheel::FirstBucket(int* level, uint32_t* bucket, int64_t* start) const {
  // A lower level's buckets all lie before the first of a higher one.
  for (int l = 0; l < kLevels; ++l) {
    const uint64_t bits = occupied_[static_cast<size_t>(l)];
    if (bits == 0) continue;
    const int shift = l * kDigit;
    *level = l;
    *bucket = static_cast<uint32_t>(std::countr_zero(bits));
    const int64_t above = (time_ >> (shift + kDigit)) << (shift + kDigit);
    *start = above + (static_cast<int64_t>(*bucket) << shift);
    return true;
  }
  return false;
}

uint32_t TimerWheel::PopDue(int64_t now) {
  while (Empty(kDue)) {
    int level = 0;
    uint32_t bucket = 0;
    int64_t start = 0;
    if (!FirstBucket(&level, &bucket, &start) || start > now) {
      time_ = std::max(time_, now);
      return kNoIndex;
    }
    time_ = start;
    const uint32_t list = static_cast<uint32_t>(level) * kBuckets + bucket;
    while (!Empty(list)) {
      const uint32_t index = heads_[list].next;
      Remove(index);
      // A due time moved since only makes the slot come up early, and be added again.
      Add(index, (*tasks_)[index].due_ms);
    }
  }
  const uint32_t index = heads_[kDue].next;
  Remove(index);
  return index;
}

int64_t TimerWheel::NextDeadline() const {
  if (!Empty(kDue)) return time_;
  int level = 0;
  uint32_t bucket = 0;
  int64_t start = 0;
  return FirstBucket(&level, &bucket, &start) ? start : std::numeric_limits<int64_t>::max();
}

}  // namespace wheelpit
