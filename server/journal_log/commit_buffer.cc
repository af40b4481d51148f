#include "server/journal_log/commit_buffer.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "server/journal_log/frame.h"

namespace wheelpit {
namespace {
constexpr std::align_val_t kAlign{4096};
constexpr size_t kCapacityFirst = 1 << 20;
// A buffer that one burst made larger than this is given back.
constexpr size_t kCapacityKept = 32 << 20;
}  // namespace

void CommitBuffer::Release() {
  if (data_ != nullptr) ::operator delete(data_, kAlign);
  data_ = nullptr;
  capacity_ = 0;
}

void CommitBuffer::Reserve(size_t bytes) {
  if (bytes <= capacity_) return;
  const size_t capacity = std::max({bytes, capacity_ * 2, kCapacityFirst});
  char* const data = static_cast<char*>(::operator new(capacity, kAlign));
  if (size_ > 0) memcpy(data, data_, size_);
  Release();
  data_ = data;
  capacity_ = capacity;
}

void CommitBuffer::BeginFrame(uint64_t segment, uint64_t offset, Lsn first_lsn) {
  const size_t at = (size_ + kFrameAlign - 1) / kFrameAlign * kFrameAlign;
  Reserve(at + kFrameHeaderBytes + kFrameAlign);
  if (at > size_) memset(data_ + size_, 0, at - size_);
  size_ = at + kFrameHeaderBytes;
  PendingFrame frame;
  frame.segment = segment;
  frame.offset = offset;
  frame.at = at;
  frame.first_lsn = first_lsn;
  frames_.push_back(frame);
}

uint64_t CommitBuffer::Add(const RecordView& record, size_t encoded_size) {
  PendingFrame& frame = frames_.back();
  // With room for the padding that Commit writes behind the last frame.
  Reserve(size_ + encoded_size + kFrameAlign);
  EncodeRecordTo(record, data_ + size_);
  const uint64_t offset = frame.offset + kFrameHeaderBytes + frame.bytes;
  size_ += encoded_size;
  memset(data_ + size_, 0, kFrameAlign);
  frame.bytes += encoded_size;
  ++frame.count;
  return offset;
}

absl::string_view CommitBuffer::Find(uint64_t segment, uint64_t offset) const {
  for (const PendingFrame& frame : frames_) {
    const uint64_t begin = frame.offset + kFrameHeaderBytes;
    if (frame.segment != segment || offset < begin || offset >= begin + frame.bytes) continue;
    return absl::string_view(data_ + frame.at + (offset - frame.offset),
                             static_cast<size_t>(begin + frame.bytes - offset));
  }
  return {};
}

void CommitBuffer::Clear() {
  frames_.clear();
  size_ = 0;
  if (capacity_ > kCapacityKept) Release();
}

void CommitBuffer::Swap(CommitBuffer& other) {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(capacity_, other.capacity_);
  std::swap(frames_, other.frames_);
}

}  // namespace wheelpit
