#include "server/journal_log/frame.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_format.h"
#include "base/crc32c.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "server/journal/little_endian.h"

namespace wheelpit {
namespace {
constexpr size_t kCrcOffset = 36;

uint32_t FrameCrc(const char* frame, size_t body_bytes, uint32_t seed) {
  const uint32_t crc = Crc32c(absl::string_view(frame, kCrcOffset), seed);
  return Crc32c(absl::string_view(frame + kFrameHeaderBytes, body_bytes), crc);
}
}  // namespace

uint32_t FrameSeed(uint64_t log_id) {
  char bytes[8];
  StoreLe(bytes, log_id);
  return Crc32c(absl::string_view(bytes, sizeof bytes));
}

uint32_t SealFrame(const FrameHeader& header, uint32_t seed, char* frame) {
  StoreLe<uint32_t>(frame, kFrameMagic);
  StoreLe<uint32_t>(frame + 4, header.generation);
  StoreLe<uint64_t>(frame + 8, header.first_lsn);
  StoreLe<uint64_t>(frame + 16, header.synced_lsn);
  StoreLe<uint32_t>(frame + 24, header.count);
  StoreLe<uint32_t>(frame + 28, header.bytes);
  StoreLe<uint32_t>(frame + 32, header.prev_frame_crc);
  const uint32_t crc = FrameCrc(frame, header.bytes, seed);
  StoreLe<uint32_t>(frame + kCrcOffset, crc);
  return crc;
}

bool ParseFrame(absl::string_view bytes, uint32_t generation, uint32_t seed, FrameHeader* header) {
  if (bytes.size() < kFrameHeaderBytes || LoadLe<uint32_t>(bytes.data()) != kFrameMagic)
    return false;
  header->generation = LoadLe<uint32_t>(bytes.data() + 4);
  header->first_lsn = LoadLe<uint64_t>(bytes.data() + 8);
  header->synced_lsn = LoadLe<uint64_t>(bytes.data() + 16);
  header->count = LoadLe<uint32_t>(bytes.data() + 24);
  header->bytes = LoadLe<uint32_t>(bytes.data() + 28);
  header->prev_frame_crc = LoadLe<uint32_t>(bytes.data() + 32);
  header->crc = LoadLe<uint32_t>(bytes.data() + kCrcOffset);
  if (header->generation != generation || header->bytes > bytes.size() - kFrameHeaderBytes)
    return false;
  return FrameCrc(bytes.data(), header->bytes, seed) == header->crc;
}

FrameScan ScanFrames(absl::string_view bytes, uint32_t generation, uint32_t seed) {
  FrameScan scan;
  // Also inside of frames already found: which of two overlapping ones is the newer is not known
  // here, and both tell the truth.
  for (size_t at = 0; at + kFrameHeaderBytes <= bytes.size(); at += kFrameAlign) {
    FrameHeader header;
    if (!ParseFrame(bytes.substr(at), generation, seed, &header)) continue;
    ++scan.frames;
    scan.synced_lsn = std::max(scan.synced_lsn, header.synced_lsn);
    scan.end = std::max<uint64_t>(scan.end, at + FrameSpace(header.bytes));
  }
  return scan;
}

absl::Status ForEachRecord(absl::string_view body, uint32_t count,
                           const std::function<absl::Status(size_t, const RecordView&)>& each) {
  size_t at = 0;
  for (uint32_t i = 0; i < count; ++i) {
    size_t size = 0;
    WHEELPIT_ASSIGN_OR_RETURN(const RecordView record, DecodeRecord(body.substr(at), &size));
    WHEELPIT_RETURN_IF_ERROR(each(at, record));
    at += size;
  }
  if (at != body.size()) {
    return MakeError(
        absl::StatusCode::kDataLoss, "CORRUPT",
        absl::StrFormat("%d records take %d bytes of the frame's %d", count, at, body.size()));
  }
  return absl::OkStatus();
}

}  // namespace wheelpit
