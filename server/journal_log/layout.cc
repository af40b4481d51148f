#include "server/journal_log/layout.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/crc32c.h"
#include "base/errors.h"
#include "base/status_macros.h"

namespace wheelpit {
namespace {

constexpr absl::string_view kVersionName = "VERSION";
constexpr size_t kVersionBytesMax = 4096;

absl::Status Damaged(absl::string_view path) {
  return MakeError(
      absl::StatusCode::kDataLoss, "CORRUPT",
      absl::StrCat(path,
                   " is damaged: restore a backup of the folder, or that file alone from one"));
}

}  // namespace

std::string JoinPath(absl::string_view dir, absl::string_view name) {
  return absl::StrCat(dir, "/", name);
}
std::string SegmentName(uint64_t number) { return absl::StrCat("seg-", number, ".log"); }
std::string FreeName(uint64_t number) { return absl::StrCat("free-", number, ".log"); }
std::string ReserveName(uint64_t number) { return absl::StrCat("reserve-", number, ".log"); }
std::string CheckpointName(uint64_t lsn) { return absl::StrCat("ckpt-", lsn, ".bin"); }

std::optional<uint64_t> NumberInName(absl::string_view name, absl::string_view prefix,
                                     absl::string_view suffix) {
  uint64_t number = 0;
  if (!absl::ConsumePrefix(&name, prefix) || !absl::ConsumeSuffix(&name, suffix) || name.empty() ||
      name.find_first_not_of("0123456789") != absl::string_view::npos ||
      !absl::SimpleAtoi(name, &number)) {
    return std::nullopt;
  }
  return number;
}

absl::StatusOr<VersionFile> ReadVersionFile(FileSystem* fs, absl::string_view dir) {
  const std::string path = JoinPath(dir, kVersionName);
  WHEELPIT_ASSIGN_OR_RETURN(const auto file, fs->Open(path, OpenMode::kRead));
  std::string text(kVersionBytesMax, '\0');
  WHEELPIT_ASSIGN_OR_RETURN(const size_t size, file->ReadAt(0, text.size(), text.data()));
  text.resize(size);
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  VersionFile version;
  if (lines.size() < 2 || lines[0] != "wheelpit-journal" ||
      !absl::StartsWith(lines[1], "format ") ||
      !absl::SimpleAtoi(lines[1].substr(7), &version.format)) {
    return Damaged(path);
  }
  // Only these two lines are the same in every format.
  if (version.format > kJournalFormat) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "NEWER_FORMAT",
        absl::StrFormat("%s: format %d was written by a newer release; this one reads %d to %d",
                        path, version.format, kJournalFormatOldest, kJournalFormat));
  }
  if (version.format < kJournalFormatOldest) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, "OLDER_FORMAT",
        absl::StrFormat(
            "%s: format %d is too old; this release reads %d to %d: start the release between once",
            path, version.format, kJournalFormatOldest, kJournalFormat));
  }
  if (lines.size() != 5 || !absl::StartsWith(lines[2], "log_id ") ||
      !absl::SimpleHexAtoi(lines[2].substr(7), &version.log_id)) {
    return Damaged(path);
  }
  const std::string summed = absl::StrCat(lines[0], "\n", lines[1], "\n", lines[2], "\n");
  if (lines[3] != absl::StrFormat("crc %08x", Crc32c(summed)) || !lines[4].empty())
    return Damaged(path);
  return version;
}

absl::Status WriteVersionFile(FileSystem* fs, absl::string_view dir, const VersionFile& version) {
  const std::string path = JoinPath(dir, kVersionName);
  const std::string temporary = absl::StrCat(path, ".tmp");
  std::string text = absl::StrFormat("wheelpit-journal\nformat %d\nlog_id %016x\n", version.format,
                                     version.log_id);
  absl::StrAppendFormat(&text, "crc %08x\n", Crc32c(text));
  WHEELPIT_ASSIGN_OR_RETURN(const auto file, fs->Open(temporary, OpenMode::kCreate));
  WHEELPIT_RETURN_IF_ERROR(file->WriteAt(0, {absl::string_view(text)}));
  WHEELPIT_RETURN_IF_ERROR(file->SyncData());
  WHEELPIT_RETURN_IF_ERROR(fs->Rename(temporary, path));
  return fs->SyncDir(dir);
}

}  // namespace wheelpit
