#include "server/queue/dedupe_index.h"

#include <algorithm>

#include "base/check.h"

namespace wheelpit {

size_t DedupeIndex::Place(const Hash128& hash) const {
  const size_t mask = table_.size() - 1;
  size_t place = hash.lo & mask;
  while (table_[place] != kNoIndex && !(entries_[table_[place]].hash == hash)) place = (place + 1) & mask;
  return place;
}

uint32_t DedupeIndex::Find(const Hash128& hash, int64_t now_ms) const {
  if (table_.empty()) return kNoIndex;
  const uint32_t index = table_[Place(hash)];
  if (index == kNoIndex) return kNoIndex;
  const DedupeEntry& entry = entries_[index];
  if (entry.expiry_s != 0 && int64_t{entry.expiry_s} * 1000 <= now_ms) return kNoIndex;
  return index;
}

void DedupeIndex::Grow() {
  std::vector<uint32_t> old = std::move(table_);
  table_.assign(std::max<size_t>(64, old.size() * 2), kNoIndex);
  for (const uint32_t index : old) {
    if (index != kNoIndex) table_[Place(entries_[index].hash)] = index;
  }
}

uint32_t DedupeIndex::Insert(const Hash128& hash, uint64_t request_hash, uint64_t task) {
  if ((size_ + 1) * 4 > table_.size() * 3) Grow();
  size_t place = Place(hash);
  if (table_[place] != kNoIndex) {
    // Its window is over. It may stand in the list of ended ones, so its place is kept and marked alive.
    const uint32_t index = table_[place];
    entries_[index].request_hash = request_hash;
    entries_[index].task = task;
    entries_[index].expiry_s = 0;
    entries_[index].state = 0;
    return index;
  }
  uint32_t index = free_;
  if (index == kNone) {
    index = static_cast<uint32_t>(entries_.size());
    WHEELPIT_CHECK(index < kNone, "%d idempotency keys", index);
    entries_.emplace_back();
  } else {
    free_ = entries_[index].next;
  }
  DedupeEntry& entry = entries_[index];
  entry = DedupeEntry{hash, request_hash, task, 0, kNone, 0, 0};
  table_[place] = index;
  ++size_;
  return index;
}

void DedupeIndex::SetEnded(uint32_t index, int64_t until_ms, TaskState state) {
  DedupeEntry& entry = entries_[index];
  entry.expiry_s = static_cast<uint32_t>(std::clamp<int64_t>((until_ms + 999) / 1000, 1, 0xFFFFFFFF));
  entry.state = static_cast<uint32_t>(state) & 15u;
  if (entry.listed) return;
  entry.listed = 1;
  entry.next = kNone;
  if (tail_ == kNone) {
    head_ = index & kNone;
  } else {
    entries_[tail_].next = index & kNone;
  }
  tail_ = index;
}

void DedupeIndex::PopHead() {
  const uint32_t index = head_;
  head_ = entries_[index].next;
  if (head_ == kNone) tail_ = kNone;
  entries_[index].listed = 0;
  entries_[index].next = kNone;
}

void DedupeIndex::Erase(uint32_t index) {
  const size_t mask = table_.size() - 1;
  size_t hole = Place(entries_[index].hash);
  // Backward shift: no tombstones, so the table never fills with them.
  for (size_t next = (hole + 1) & mask; table_[next] != kNoIndex; next = (next + 1) & mask) {
    const size_t home = entries_[table_[next]].hash.lo & mask;
    if (((next - home) & mask) >= ((next - hole) & mask)) {
      table_[hole] = table_[next];
      hole = next;
    }
  }
  table_[hole] = kNoIndex;
  entries_[index] = DedupeEntry{{}, 0, 0, 0, free_ & kNone, 0, 0};
  free_ = index;
  --size_;
}

void DedupeIndex::DropExpired(int64_t now_ms, int entries_max) {
  while (head_ != kNone && entries_max-- > 0) {
    const uint32_t index = head_;
    const DedupeEntry& entry = entries_[index];
    if (entry.expiry_s == 0) {
      PopHead();
      continue;
    }
    if (int64_t{entry.expiry_s} * 1000 > now_ms) return;
    PopHead();
    Erase(index);
  }
}

int64_t DedupeIndex::EvictOldest(int64_t now_ms, int64_t min_window_ms, absl::FunctionRef<int64_t(const DedupeEntry&)> ended_ms) {
  while (head_ != kNone && entries_[head_].expiry_s == 0) PopHead();
  if (head_ == kNone) return 0;
  const uint32_t index = head_;
  const int64_t ended = ended_ms(entries_[index]);
  if (now_ms - ended < min_window_ms && int64_t{entries_[index].expiry_s} * 1000 > now_ms) return 0;
  PopHead();
  Erase(index);
  return std::max<int64_t>(ended, 1);
}

void DedupeIndex::SortEnded() {
  std::vector<uint32_t> ended;
  for (uint32_t i = 0; i < entries_.size(); ++i) {
    entries_[i].listed = 0;
    if (entries_[i].task != 0 && entries_[i].expiry_s != 0) ended.push_back(i);
  }
  std::sort(ended.begin(), ended.end(), [this](uint32_t a, uint32_t b) {
    return std::pair(entries_[a].expiry_s, entries_[a].task) < std::pair(entries_[b].expiry_s, entries_[b].task);
  });
  head_ = tail_ = kNone;
  for (const uint32_t i : ended) {
    SetEnded(i, int64_t{entries_[i].expiry_s} * 1000, static_cast<TaskState>(static_cast<uint8_t>(entries_[i].state)));
  }
}

int64_t DedupeIndex::oldest_ended_expiry_ms() const {
  for (uint32_t i = head_; i != kNone; i = entries_[i].next) {
    if (entries_[i].expiry_s != 0) return int64_t{entries_[i].expiry_s} * 1000;
  }
  return 0;
}

}  // namespace wheelpit
