#include "server/journal_log/checkpoint_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "server/journal/little_endian.h"

namespace wheelpit {
namespace {

constexpr uint64_t kFileMagic = 0x3154504b43504857;  // "WHPCKPT1"
constexpr uint32_t kChunkMagic = 0x4b4e4843;         // "CHNK"
constexpr uint32_t kEndMagic = 0x444e4543;           // "CEND"
constexpr size_t kFileHeaderBytes = 32;
constexpr size_t kBlockHeaderBytes = 32;
constexpr size_t kCrcOffset = 28;  // in both headers
constexpr uint64_t kChunkBytesMax = 1ULL << 30;

absl::Status Corrupt(uint64_t offset, absl::string_view why) {
  return MakeError(absl::StatusCode::kDataLoss, "CORRUPT",
                   absl::StrFormat("checkpoint, offset %d: %s", offset, why));
}

void EncodeFileHeader(uint64_t log_id, Lsn begin_lsn, char* out) {
  StoreLe<uint64_t>(out, kFileMagic);
  StoreLe<uint64_t>(out + 8, log_id);
  StoreLe<uint64_t>(out + 16, begin_lsn);
  StoreLe<uint32_t>(out + 24, 0);
  StoreLe<uint32_t>(out + kCrcOffset, Crc32c(absl::string_view(out, kCrcOffset)));
}

}  // namespace

CheckpointFileWriter::CheckpointFileWriter(std::unique_ptr<File> file, uint64_t log_id,
                                           Lsn begin_lsn)
    : file_(std::move(file)), log_id_(log_id) {
  info_.begin_lsn = begin_lsn;
  info_.end_lsn = begin_lsn;
}

absl::Status CheckpointFileWriter::WriteBlock(uint32_t magic, FoldId fold, Lsn as_of,
                                              absl::string_view bytes) {
  if (info_.bytes == 0) {
    char header[kFileHeaderBytes];
    EncodeFileHeader(log_id_, info_.begin_lsn, header);
    prev_crc_ = LoadLe<uint32_t>(header + kCrcOffset);
    WHEELPIT_RETURN_IF_ERROR(file_->WriteAt(0, {absl::string_view(header, sizeof header)}));
    info_.bytes = kFileHeaderBytes;
  }
  WHEELPIT_CHECK(bytes.size() <= kChunkBytesMax, "a chunk of %d bytes", bytes.size());
  char header[kBlockHeaderBytes];
  StoreLe<uint32_t>(header, magic);
  StoreLe<uint32_t>(header + 4, static_cast<uint32_t>(fold));
  StoreLe<uint64_t>(header + 8, as_of);
  StoreLe<uint32_t>(header + 16, static_cast<uint32_t>(bytes.size()));
  StoreLe<uint32_t>(header + 20, index_++);
  StoreLe<uint32_t>(header + 24, prev_crc_);
  prev_crc_ = Crc32c(bytes, Crc32c(absl::string_view(header, kCrcOffset)));
  StoreLe<uint32_t>(header + kCrcOffset, prev_crc_);
  WHEELPIT_RETURN_IF_ERROR(
      file_->WriteAt(info_.bytes, {absl::string_view(header, sizeof header), bytes}));
  info_.bytes += kBlockHeaderBytes + bytes.size();
  return absl::OkStatus();
}

absl::Status CheckpointFileWriter::Add(FoldId fold, Lsn as_of, absl::string_view bytes) {
  info_.end_lsn = std::max(info_.end_lsn, as_of);
  return WriteBlock(kChunkMagic, fold, as_of, bytes);
}

absl::StatusOr<CheckpointInfo> CheckpointFileWriter::Finish() {
  WHEELPIT_RETURN_IF_ERROR(WriteBlock(kEndMagic, FoldId::kMeta, info_.end_lsn, ""));
  WHEELPIT_RETURN_IF_ERROR(file_->SyncData());
  return info_;
}

absl::StatusOr<CheckpointInfo> ReadCheckpointFile(
    const File& file, uint64_t log_id,
    const std::function<absl::Status(FoldId, Lsn, absl::string_view)>& each) {
  CheckpointInfo info;
  char header[kFileHeaderBytes];
  WHEELPIT_ASSIGN_OR_RETURN(const uint64_t size, file.Size());
  WHEELPIT_ASSIGN_OR_RETURN(const size_t got, file.ReadAt(0, sizeof header, header));
  if (got < sizeof header) return Corrupt(0, absl::StrFormat("%d bytes are no header", got));
  if (LoadLe<uint64_t>(header) != kFileMagic) return Corrupt(0, "not a checkpoint");
  if (LoadLe<uint32_t>(header + kCrcOffset) != Crc32c(absl::string_view(header, kCrcOffset)))
    return Corrupt(0, "header damaged");
  if (LoadLe<uint64_t>(header + 8) != log_id) return Corrupt(0, "of another journal");
  info.begin_lsn = LoadLe<uint64_t>(header + 16);
  info.end_lsn = info.begin_lsn;
  info.bytes = kFileHeaderBytes;
  uint32_t prev_crc = LoadLe<uint32_t>(header + kCrcOffset);
  std::string body;
  for (uint32_t index = 0;; ++index) {
    char block[kBlockHeaderBytes];
    WHEELPIT_ASSIGN_OR_RETURN(const size_t n, file.ReadAt(info.bytes, sizeof block, block));
    if (n < sizeof block) return Corrupt(info.bytes, "ends before its end mark");
    const uint32_t magic = LoadLe<uint32_t>(block);
    const uint32_t bytes = LoadLe<uint32_t>(block + 16);
    const uint64_t body_at = info.bytes + kBlockHeaderBytes;
    if ((magic != kChunkMagic && magic != kEndMagic) || bytes > kChunkBytesMax || body_at > size ||
        bytes > size - body_at) {
      return Corrupt(info.bytes, "no chunk here");
    }
    body.resize(bytes);
    WHEELPIT_ASSIGN_OR_RETURN(const size_t m, file.ReadAt(body_at, bytes, body.data()));
    const uint32_t crc = Crc32c(body, Crc32c(absl::string_view(block, kCrcOffset)));
    if (m != bytes || crc != LoadLe<uint32_t>(block + kCrcOffset) ||
        LoadLe<uint32_t>(block + 20) != index || LoadLe<uint32_t>(block + 24) != prev_crc) {
      return Corrupt(info.bytes, "chunk damaged");
    }
    prev_crc = crc;
    info.bytes = body_at + bytes;
    const Lsn as_of = LoadLe<uint64_t>(block + 8);
    if (magic == kEndMagic) {
      if (as_of != info.end_lsn || info.bytes != size)
        return Corrupt(info.bytes, "end mark does not fit");
      return info;
    }
    info.end_lsn = std::max(info.end_lsn, as_of);
    if (each)
      WHEELPIT_RETURN_IF_ERROR(each(static_cast<FoldId>(LoadLe<uint32_t>(block + 4)), as_of, body));
  }
}

}  // namespace wheelpit
