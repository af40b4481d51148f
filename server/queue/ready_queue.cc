#include "server/queue/ready_queue.h"

#include <bit>

namespace wheelpit {
namespace {

bool Before(const TaskSlot& a, const TaskSlot& b) {
  return a.due_ms != b.due_ms ? a.due_ms < b.due_ms : a.id < b.id;
}

uint32_t Older(const TaskTable& tasks, uint32_t a, uint32_t b) {
  if (a == kNoIndex) return b;
  if (b == kNoIndex) return a;
  return Before(tasks[b], tasks[a]) ? b : a;
}

}  // namespace

ReadyQueue::List& ReadyQueue::ListOf(const TaskSlot& slot) {
  Band& band = band_[static_cast<size_t>(BandOf(slot))];
  return slot.attempts == 0 ? band.fresh : band.again;
}

void ReadyQueue::Push(TaskTable& tasks, uint32_t index) {
  TaskSlot& slot = tasks[index];
  List& list = ListOf(slot);
  slot.next = kNoIndex;
  slot.prev = list.tail;
  (list.tail == kNoIndex ? list.head : tasks[list.tail].next) = index;
  list.tail = index;
  slot.set(kInReady);
  bands_ |= 1u << BandOf(slot);
  ++size_;
}

void ReadyQueue::PushFront(TaskTable& tasks, uint32_t index) {
  TaskSlot& slot = tasks[index];
  List& list = ListOf(slot);
  slot.prev = kNoIndex;
  slot.next = list.head;
  (list.head == kNoIndex ? list.tail : tasks[list.head].prev) = index;
  list.head = index;
  slot.set(kInReady);
  bands_ |= 1u << BandOf(slot);
  ++size_;
}

void ReadyQueue::Remove(TaskTable& tasks, uint32_t index) {
  TaskSlot& slot = tasks[index];
  List& list = ListOf(slot);
  (slot.prev == kNoIndex ? list.head : tasks[slot.prev].next) = slot.next;
  (slot.next == kNoIndex ? list.tail : tasks[slot.next].prev) = slot.prev;
  slot.next = slot.prev = kNoIndex;
  slot.clear(kInReady);
  const Band& band = band_[static_cast<size_t>(BandOf(slot))];
  if (band.fresh.head == kNoIndex && band.again.head == kNoIndex) bands_ &= ~(1u << BandOf(slot));
  --size_;
}

uint32_t ReadyQueue::HeadOf(const TaskTable& tasks, int band) const {
  const Band& b = band_[static_cast<size_t>(band)];
  return Older(tasks, b.fresh.head, b.again.head);
}

uint32_t ReadyQueue::Peek(const TaskTable& tasks) const {
  if (bands_ == 0) return kNoIndex;
  const int top = 31 - std::countl_zero(bands_);
  if (popped_ % kStarvationShare != kStarvationShare - 1) return HeadOf(tasks, top);
  uint32_t oldest = kNoIndex;
  for (int band = top; band >= 0; --band) oldest = Older(tasks, oldest, HeadOf(tasks, band));
  return oldest;
}

uint32_t ReadyQueue::PopNext(TaskTable& tasks) {
  const uint32_t index = Peek(tasks);
  if (index == kNoIndex) return kNoIndex;
  ++popped_;
  Remove(tasks, index);
  return index;
}

int64_t ReadyQueue::Oldest(const TaskTable& tasks, bool all) const {
  int64_t oldest = 0;
  for (uint32_t bits = bands_; bits != 0; bits &= bits - 1) {
    const Band& band = band_[static_cast<size_t>(std::countr_zero(bits))];
    for (const uint32_t head : {band.fresh.head, all ? band.again.head : kNoIndex}) {
      if (head != kNoIndex && (oldest == 0 || tasks[head].due_ms < oldest)) oldest = tasks[head].due_ms;
    }
  }
  return oldest;
}

}  // namespace wheelpit
