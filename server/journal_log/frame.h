// Frames: what one group commit writes into one segment. Byte layout and the reasons for it:
// docs/formats.md.
//
// Pure functions over bytes.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/journal/record.h"

namespace wheelpit {

inline constexpr uint32_t kFrameMagic = 0x4d465057;  // "WPFM"
inline constexpr size_t kFrameHeaderBytes = 40;
inline constexpr size_t kFrameAlign = 8;

struct FrameHeader {
  uint32_t generation =
      0;  // low 32 bits of the segment's number: what a recycled file held before has another
  Lsn first_lsn = 0;
  Lsn synced_lsn = 0;  // durable when this was written
  uint32_t count = 0;
  uint32_t bytes = 0;  // of records, without padding
  uint32_t prev_frame_crc = 0;
  uint32_t crc = 0;
};

inline size_t FrameSpace(size_t body_bytes) {
  return (kFrameHeaderBytes + body_bytes + kFrameAlign - 1) / kFrameAlign * kFrameAlign;
}

// CRCs of one journal start from its own number, so that bytes of another journal, or of a payload
// that copies a frame, are none.
uint32_t FrameSeed(uint64_t log_id);

// Fills in the header in front of the body that already stands at `frame + kFrameHeaderBytes`;
// returns the CRC.
uint32_t SealFrame(const FrameHeader& header, uint32_t seed, char* frame);

// True if `bytes` starts with a whole, verified frame of `generation`.
bool ParseFrame(absl::string_view bytes, uint32_t generation, uint32_t seed, FrameHeader* header);

// What lies behind a place where the chain of frames ends.
struct FrameScan {
  Lsn synced_lsn = 0;  // the highest that any valid frame states
  uint64_t frames = 0;
  uint64_t end = 0;  // of the last valid frame, from the start of `bytes`
};
// Looks for valid frames at every aligned place.
FrameScan ScanFrames(absl::string_view bytes, uint32_t generation, uint32_t seed);

// Calls `each(offset in body, record)` for the `count` records of a verified frame. kDataLoss when
// the body is not exactly them.
absl::Status ForEachRecord(
    absl::string_view body, uint32_t count,
    const std::function<absl::Status(size_t offset, const RecordView& record)>& each);

}  // namespace wheelpit
