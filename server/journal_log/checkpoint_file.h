// Checkpoint files, ckpt-<lsn>.bin: the folds' chunks, each with its own CRC, chained, and an end
// mark. Layout: docs/formats.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/journal/fold.h"
#include "server/journal_log/file.h"

namespace wheelpit {

struct CheckpointInfo {
  Lsn begin_lsn = 0;  // replay starts after it
  Lsn end_lsn = 0;    // the largest as_of: the journal behind it must reach this far
  uint64_t bytes = 0;
};

// Writes the file's content. Not thread-safe.
class CheckpointFileWriter {
 public:
  CheckpointFileWriter(std::unique_ptr<File> file, uint64_t log_id, Lsn begin_lsn);
  absl::Status Add(FoldId fold, Lsn as_of, absl::string_view bytes);
  // Writes the end mark and syncs.
  absl::StatusOr<CheckpointInfo> Finish();

 private:
  absl::Status WriteBlock(uint32_t magic, FoldId fold, Lsn as_of, absl::string_view bytes);

  const std::unique_ptr<File> file_;
  const uint64_t log_id_;
  CheckpointInfo info_;
  uint32_t index_ = 0;
  uint32_t prev_crc_ = 0;
};

// Reads the whole file once; kDataLoss when anything in it is not as it was written.
// `each` (may be null) is called with each chunk as soon as that is verified.
absl::StatusOr<CheckpointInfo> ReadCheckpointFile(
    const File& file, uint64_t log_id,
    const std::function<absl::Status(FoldId, Lsn, absl::string_view)>& each);

}  // namespace wheelpit
