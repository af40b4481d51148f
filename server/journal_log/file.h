// The file layer of the embedded journal: as much of POSIX as it needs, small enough to be replaced
// whole by a simulation that loses, tears and damages what was not synced.
//
// What holds after a power cut, and what the journal relies on:
//   - bytes of a file are safe once SyncData() after their write returned OK; before that each
//   512-byte sector has its old or its
//     new content, each by itself and in no order;
//   - names (Open with kCreate, Rename, Link, Unlink) are safe once SyncDir() returned OK; a Rename
//   happens as a whole or not;
//   - after a failed SyncData() nothing is known of the file, and a later one proves nothing.
//
// Thread-safe, except that writes of one file come from one thread at a time.
// Errors: kResourceExhausted when the disk is full, kNotFound for a missing path, kUnavailable for
// all else.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace wheelpit {

class File {
 public:
  virtual ~File() = default;
  // Writes the pieces one after another from `offset`.
  virtual absl::Status WriteAt(uint64_t offset, absl::Span<const absl::string_view> pieces) = 0;
  virtual absl::Status SyncData() = 0;
  // Fewer than `n` only at the end of the file.
  virtual absl::StatusOr<size_t> ReadAt(uint64_t offset, size_t n, char* out) const = 0;
  virtual absl::StatusOr<uint64_t> Size() const = 0;
  // Makes the file at least `bytes` long and claims the blocks, so that writes within cannot meet a
  // full disk.
  virtual absl::Status Allocate(uint64_t bytes) = 0;
};

enum class OpenMode {
  kRead,
  kReadWrite,
  kCreate,  // new and empty; replaces
};

struct DiskSpace {
  uint64_t free_bytes = 0;
  uint64_t total_bytes = 0;
};

// Held until destroyed, or until the process ends.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual absl::StatusOr<std::unique_ptr<File>> Open(absl::string_view path, OpenMode mode) = 0;
  // Replaces `to`.
  virtual absl::Status Rename(absl::string_view from, absl::string_view to) = 0;
  virtual absl::Status Link(absl::string_view from, absl::string_view to) = 0;
  virtual absl::Status Unlink(absl::string_view path) = 0;
  // Names, in no order.
  virtual absl::StatusOr<std::vector<std::string>> List(absl::string_view dir) = 0;
  // With its parents; fine if it is there.
  virtual absl::Status CreateDir(absl::string_view dir) = 0;
  virtual absl::Status SyncDir(absl::string_view dir) = 0;
  virtual absl::StatusOr<DiskSpace> Space(absl::string_view dir) = 0;
  // kFailedPrecondition, naming the owner, when another process (or another holder here) has it.
  virtual absl::StatusOr<std::unique_ptr<FileLock>> Lock(absl::string_view path) = 0;
};

// The real one. Never destroyed.
FileSystem* PosixFileSystem();

}  // namespace wheelpit
