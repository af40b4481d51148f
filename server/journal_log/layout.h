// Names in a journal's folder, and its VERSION file. docs/formats.md describes all of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/journal_log/file.h"

namespace wheelpit {

// What this program writes, and the oldest that it reads.
inline constexpr uint32_t kJournalFormat = 1;
inline constexpr uint32_t kJournalFormatOldest = 1;

std::string JoinPath(absl::string_view dir, absl::string_view name);
std::string SegmentName(uint64_t number);  // seg-12.log
std::string FreeName(uint64_t number);     // free-13.log: a recycled or new segment without content
std::string ReserveName(uint64_t number);  // reserve-0.log
std::string CheckpointName(uint64_t lsn);  // ckpt-4711.bin
// The number in `<prefix><number><suffix>`.
std::optional<uint64_t> NumberInName(absl::string_view name, absl::string_view prefix,
                                     absl::string_view suffix);

struct VersionFile {
  uint32_t format = kJournalFormat;
  uint64_t log_id = 0;  // of this folder; seeds the frames' CRCs
};
// kNotFound when there is none; kFailedPrecondition when a newer program wrote it; kDataLoss when
// it is damaged.
absl::StatusOr<VersionFile> ReadVersionFile(FileSystem* fs, absl::string_view dir);
// Durable when it returns.
absl::Status WriteVersionFile(FileSystem* fs, absl::string_view dir, const VersionFile& version);

}  // namespace wheelpit
