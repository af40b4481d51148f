// One entry of the journal and its envelope. Byte layout: docs/formats.md.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wheelpit {

// Values are on disk: never renumber.
enum class RecordType : uint8_t {
  kEpoch = 1,
  kQueueConfig = 2,
  kSubmit = 3,
  kLease = 4,
  kDone = 5,
  kRetry = 6,
  kDead = 7,
  kCancel = 8,
  kCancelRequest = 9,
  kExpire = 10,
  kRelease = 11,
  kRedrive = 12,
  kPurge = 13,
  kScale = 14,
  kReport = 15,
  kForget = 16,
  kHeartbeat = 17,
  kMove = 18,
  kCheckpointBegin = 19,
  kCheckpointEnd = 20,
};
// `SUBMIT`, …; "?" for a number that is none.
const char* RecordTypeName(RecordType type);

// An entry's place in the order of one journal: 1, 2, 3, … without holes. 0 = before the first.
using Lsn = uint64_t;

// Where an entry's bytes are: segment (36 bits) and offset (28 bits). 0 = nowhere.
struct RecordPosition {
  uint64_t packed = 0;
  friend bool operator==(const RecordPosition&, const RecordPosition&) = default;
};

// Borrowed bytes: valid during the call that passes it.
struct RecordView {
  RecordType type{};
  uint8_t flags = 0;
  // Task id, queue number, … by type; 0 = none.
  uint64_t id = 0;
  // Serialised proto of wheelpit.journal.v1; at most 65,535 bytes.
  absl::string_view meta;
  absl::string_view payload;
};

struct OwnedRecord {
  RecordType type{};
  uint8_t flags = 0;
  uint64_t id = 0;
  std::string meta;
  std::string payload;
};

// Envelope: type u8, flags u8, meta_len u16, payload_len u32, id u64, meta, payload, crc32c u32
// over all of it before; little-endian.
inline constexpr size_t kRecordOverhead = 20;
inline constexpr size_t kRecordMetaMax = 65'535;
size_t EncodedRecordSize(const RecordView& record);
void EncodeRecord(const RecordView& record, std::string* out);
// The same into `out`, which has room for EncodedRecordSize(record) bytes.
void EncodeRecordTo(const RecordView& record, char* out);
// Length of the record that starts at bytes[0], from its header alone (at least 16 bytes); not
// verified.
absl::StatusOr<size_t> PeekRecordSize(absl::string_view bytes);
// Decodes the record that starts at bytes[0]; `*size` = its encoded length. kDataLoss when it does
// not verify.
absl::StatusOr<RecordView> DecodeRecord(absl::string_view bytes, size_t* size);
OwnedRecord CopyRecord(const RecordView& record);

}  // namespace wheelpit
