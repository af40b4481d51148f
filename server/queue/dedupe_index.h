// Idempotency keys: the 128-bit hash of (queue, key) -> the task that it made, for the task's life and a window after its end.
//
// 40 bytes an entry plus 4 to 8 of hash table. Entries keep their index until they are dropped, so a slot can point at its own.
// Entries of ended tasks form a list in the order of ending; the window is checked at Find, memory is freed from its head.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/siphash.h"
#include "server/model/task.h"
#include "server/queue/task_table.h"

namespace wheelpit {

struct DedupeEntry {
  Hash128 hash;
  uint64_t request_hash = 0;
  uint64_t task = 0;       // 0 = free
  uint32_t expiry_s = 0;   // 0 = the task lives
  uint32_t next : 27;      // list of ended ones, or of free ones
  uint32_t listed : 1;
  uint32_t state : 4;      // how the task ended, for when it has vanished
};
static_assert(sizeof(DedupeEntry) == 40);

class DedupeIndex {
 public:
  static constexpr uint32_t kNone = (1u << 27) - 1;

  // kNoIndex if there is none, or its window is over (`now_ms` > 0).
  uint32_t Find(const Hash128& hash, int64_t now_ms) const;
  // Takes the place of an entry with this hash. Returns its index.
  uint32_t Insert(const Hash128& hash, uint64_t request_hash, uint64_t task);
  DedupeEntry& operator[](uint32_t index) { return entries_[index]; }
  const DedupeEntry& operator[](uint32_t index) const { return entries_[index]; }
  // The task ended: the key stays until `until_ms` (rounded up to seconds).
  void SetEnded(uint32_t index, int64_t until_ms, TaskState state);
  // Drops up to `entries_max` entries whose window is over at `now_ms`, from the longest ended.
  void DropExpired(int64_t now_ms, int entries_max);
  // Drops the longest ended entry if it ended `min_window_ms` ago or its window is over, and returns when it ended; 0 if there is none.
  // `ended_ms` tells when the task of an entry ended, or a later time.
  int64_t EvictOldest(int64_t now_ms, int64_t min_window_ms, absl::FunctionRef<int64_t(const DedupeEntry&)> ended_ms);

  // Puts the list of ended ones in the order of their windows' ends: after recovery, which fills it in any order.
  void SortEnded();

  size_t size() const { return size_; }
  uint32_t capacity() const { return static_cast<uint32_t>(entries_.size()); }
  int64_t oldest_ended_expiry_ms() const;

 private:
  void Grow();
  size_t Place(const Hash128& hash) const;
  void Erase(uint32_t index);
  void PopHead();

  std::vector<DedupeEntry> entries_;
  std::vector<uint32_t> table_;  // open addressing, power of two; kNoIndex = empty
  size_t size_ = 0;
  uint32_t free_ = kNone;
  uint32_t head_ = kNone;
  uint32_t tail_ = kNone;
};

}  // namespace wheelpit
