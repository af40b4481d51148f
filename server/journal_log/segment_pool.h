// Segment files without content: recycled ones, new ones made ahead of need, and the reserve that
// ends of tasks may use when the disk is full. Writing into blocks that were written before spares
// each fdatasync the file system's own journal.
//
// One thread (the journal thread; recovery before it), except spares() and reserves().
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/journal_log/file.h"

namespace wheelpit {

struct SegmentPoolOptions {
  uint64_t segment_bytes = 0;
  size_t spares_max = 0;
  size_t reserves = 0;
  uint64_t step_bytes = 2 << 20;
};

class SegmentPool {
 public:
  // `next_number`: the counter that also numbers segments, so that a file's name is always newer
  // than its content.
  SegmentPool(FileSystem* fs, std::string dir, SegmentPoolOptions options,
              std::atomic<uint64_t>* next_number);

  // Takes over what is there of free and reserve files.
  absl::Status Load(const std::vector<std::string>& names);
  // A file named seg-<number>.log, durably so: a spare, else a new one, else (disk full) one of the
  // reserve.
  absl::StatusOr<std::shared_ptr<File>> Take(uint64_t number, bool may_create);
  // seg-<number>.log is not needed any more.
  absl::Status Recycle(uint64_t number);
  // Makes the reserve complete.
  absl::Status FillReserve();
  // Does a little of the work of making one more spare.
  absl::Status PrepareSpare();

  // Any thread; acquire/release is not needed, the numbers are looked at again by Take.
  size_t spares() const { return spares_count_.load(std::memory_order_relaxed); }
  size_t reserves() const { return reserves_count_.load(std::memory_order_relaxed); }

 private:
  absl::StatusOr<std::shared_ptr<File>> Adopt(const std::string& name, uint64_t number);
  absl::StatusOr<bool> HasSegmentSize(const std::string& path);
  void Count();

  FileSystem* const fs_;
  const std::string dir_;
  const SegmentPoolOptions options_;
  std::atomic<uint64_t>* const next_number_;
  std::vector<std::string> spares_;  // names
  std::vector<std::string> reserves_;
  std::unique_ptr<File> building_;
  uint64_t built_bytes_ = 0;
  std::atomic<size_t> spares_count_{0};
  std::atomic<size_t> reserves_count_{0};
};

}  // namespace wheelpit
