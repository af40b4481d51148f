#include "server/journal_log/segment_table.h"

#include <utility>

#include "base/check.h"

namespace wheelpit {

Segment* SegmentTable::Add(Segment segment) {
  const uint64_t number = segment.number;
  const auto [it, added] = segments_.emplace(number, std::move(segment));
  WHEELPIT_CHECK(added, "segment %d twice", number);
  return &it->second;
}

void SegmentTable::Remove(uint64_t number) {
  const auto it = segments_.find(number);
  if (it == segments_.end()) return;
  if (last_found_ == &it->second) last_found_ = nullptr;
  pinned_bytes_ -= it->second.pinned_bytes;
  segments_.erase(it);
}

Segment* SegmentTable::Find(uint64_t number) {
  // Pins come in runs of one segment.
  if (last_found_ != nullptr && last_found_->number == number) return last_found_;
  const auto it = segments_.find(number);
  if (it == segments_.end()) return nullptr;
  return last_found_ = &it->second;
}

const Segment* SegmentTable::Find(uint64_t number) const {
  const auto it = segments_.find(number);
  return it == segments_.end() ? nullptr : &it->second;
}

bool SegmentTable::Pin(uint64_t number, uint64_t bytes) {
  Segment* segment = Find(number);
  if (segment == nullptr) return false;
  ++segment->pins;
  segment->pinned_bytes += bytes;
  pinned_bytes_ += bytes;
  return true;
}

bool SegmentTable::Unpin(uint64_t number, uint64_t bytes) {
  Segment* segment = Find(number);
  if (segment == nullptr) return false;
  WHEELPIT_CHECK(segment->pins > 0 && segment->pinned_bytes >= bytes,
                 "segment %d: %d pins of %d bytes, %d taken back", number, segment->pins,
                 segment->pinned_bytes, bytes);
  --segment->pins;
  segment->pinned_bytes -= bytes;
  pinned_bytes_ -= bytes;
  return true;
}

void SegmentTable::SealBefore(uint64_t number) {
  for (auto it = segments_.lower_bound(number); it != segments_.begin();) {
    --it;
    if (it->second.sealed) break;
    it->second.sealed = true;
  }
}

std::vector<Segment> SegmentTable::TakeFreeable(Lsn superfluous) {
  std::vector<Segment> freed;
  for (auto it = segments_.begin(); it != segments_.end();) {
    const Segment& segment = it->second;
    if (segment.sealed && segment.pins == 0 && segment.last_lsn <= superfluous) {
      if (last_found_ == &it->second) last_found_ = nullptr;
      freed.push_back(std::move(it->second));
      it = segments_.erase(it);
    } else {
      ++it;
    }
  }
  return freed;
}

uint64_t SegmentTable::used_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [number, segment] : segments_) bytes += segment.used_bytes;
  return bytes;
}

}  // namespace wheelpit
