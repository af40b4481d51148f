#include "server/queue/task_table.h"

#include "base/check.h"

namespace wheelpit {

void TaskTable::AddSlab() {
  const uint32_t first = capacity();
  WHEELPIT_CHECK(first < kNoIndex - kSlabSlots, "%d slots", first);
  slabs_.push_back(std::make_unique<TaskSlot[]>(kSlabSlots));
}

uint32_t TaskTable::Allocate(uint64_t id) {
  if (free_ == kNoIndex) {
    const uint32_t first = capacity();
    AddSlab();
    for (uint32_t i = kSlabSlots; i-- > 0;) {
      (*this)[first + i].next = free_;
      free_ = first + i;
    }
  }
  const uint32_t index = free_;
  TaskSlot& slot = (*this)[index];
  free_ = slot.next;
  slot = TaskSlot();
  slot.id = id;
  const bool inserted = index_.emplace(id, index).second;
  WHEELPIT_CHECK(inserted, "task %d twice", id);
  return index;
}

TaskSlot& TaskTable::AllocateAt(uint32_t index, uint64_t id) {
  while (capacity() <= index) AddSlab();
  TaskSlot& slot = (*this)[index];
  WHEELPIT_CHECK(slot.id == 0, "slot %d holds task %d", index, slot.id);
  slot.id = id;
  const bool inserted = index_.emplace(id, index).second;
  WHEELPIT_CHECK(inserted, "task %d twice", id);
  return slot;
}

void TaskTable::RebuildFreeList() {
  free_ = kNoIndex;
  for (uint32_t i = capacity(); i-- > 0;) {
    TaskSlot& slot = (*this)[i];
    if (slot.id != 0) continue;
    slot.next = free_;
    free_ = i;
  }
}

void TaskTable::Free(uint32_t index) {
  TaskSlot& slot = (*this)[index];
  index_.erase(slot.id);
  slot = TaskSlot();
  slot.next = free_;
  free_ = index;
}

}  // namespace wheelpit
