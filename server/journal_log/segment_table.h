// The space account: which segments exist, what they hold, what is still needed of them.
//
// Not thread-safe: SegmentedLog's lock guards it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "server/journal/record.h"
#include "server/journal_log/file.h"

namespace wheelpit {

inline constexpr int kOffsetBits = 28;
inline RecordPosition MakePosition(uint64_t segment, uint64_t offset) {
  return {segment << kOffsetBits | offset};
}
inline uint64_t SegmentOf(RecordPosition position) { return position.packed >> kOffsetBits; }
inline uint64_t OffsetOf(RecordPosition position) {
  return position.packed & ((1ULL << kOffsetBits) - 1);
}

struct Segment {
  uint64_t number = 0;
  Lsn first_lsn = 0;  // 0 = holds nothing yet, or unreadable
  Lsn last_lsn = 0;
  uint64_t used_bytes = 0;
  bool sealed = false;  // nothing is appended or written to it any more
  uint64_t pins = 0;
  uint64_t pinned_bytes = 0;
  std::shared_ptr<File> file;  // null until opened
};

class SegmentTable {
 public:
  Segment* Add(Segment segment);
  // With its pins.
  void Remove(uint64_t number);
  // Null when there is none.
  Segment* Find(uint64_t number);
  const Segment* Find(uint64_t number) const;

  // False when the segment is gone.
  bool Pin(uint64_t number, uint64_t bytes);
  bool Unpin(uint64_t number, uint64_t bytes);

  void SealBefore(uint64_t number);
  // Takes out the sealed segments without pins whose records are all <= `superfluous`.
  std::vector<Segment> TakeFreeable(Lsn superfluous);

  size_t size() const { return segments_.size(); }
  uint64_t used_bytes() const;
  uint64_t pinned_bytes() const { return pinned_bytes_; }

 private:
  std::map<uint64_t, Segment> segments_;
  Segment* last_found_ = nullptr;
  uint64_t pinned_bytes_ = 0;
};

}  // namespace wheelpit
