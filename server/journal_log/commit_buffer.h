// One of the two buffers of the group commit: records encoded where they will be written from, in
// frames whose headers the journal thread fills in.
//
// Not thread-safe: SegmentedLog's lock, and then the journal thread alone, own it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/journal/record.h"

namespace wheelpit {

struct PendingFrame {
  uint64_t segment = 0;
  uint64_t offset = 0;  // in the segment
  size_t at = 0;        // in the buffer
  Lsn first_lsn = 0;
  uint32_t count = 0;
  size_t bytes = 0;  // of records
};

class CommitBuffer {
 public:
  CommitBuffer() = default;
  ~CommitBuffer() { Release(); }
  CommitBuffer(const CommitBuffer&) = delete;
  CommitBuffer& operator=(const CommitBuffer&) = delete;

  bool empty() const { return frames_.empty(); }
  size_t size() const { return size_; }
  Lsn last_lsn() const { return frames_.back().first_lsn + frames_.back().count - 1; }
  std::vector<PendingFrame>& frames() { return frames_; }
  const std::vector<PendingFrame>& frames() const { return frames_; }
  char* frame_bytes(const PendingFrame& frame) { return data_ + frame.at; }

  void BeginFrame(uint64_t segment, uint64_t offset, Lsn first_lsn);
  // Encodes `record` at the end of the last frame; returns its offset in the segment.
  uint64_t Add(const RecordView& record, size_t encoded_size);
  // The bytes from `offset` of `segment` to the end of their frame; empty if they are not here.
  absl::string_view Find(uint64_t segment, uint64_t offset) const;
  void Clear();
  void Swap(CommitBuffer& other);

 private:
  void Reserve(size_t bytes);
  void Release();

  char* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
  std::vector<PendingFrame> frames_;
};

}  // namespace wheelpit
