#include "server/journal/record.h"

#include <cstring>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/errors.h"
#include "server/journal/little_endian.h"

namespace wheelpit {
namespace {

constexpr size_t kHeaderBytes = 16;
constexpr size_t kCrcBytes = 4;
static_assert(kHeaderBytes + kCrcBytes == kRecordOverhead);

absl::Status Corrupt(absl::string_view why) {
  return MakeError(absl::StatusCode::kDataLoss, "CORRUPT",
                   absl::StrFormat("journal record: %s", why));
}

}  // namespace

const char* RecordTypeName(RecordType type) {
  switch (type) {
    case RecordType::kEpoch:
      return "EPOCH";
    case RecordType::kQueueConfig:
      return "QUEUE_CFG";
    case RecordType::kSubmit:
      return "SUBMIT";
    case RecordType::kLease:
      return "LEASE";
    case RecordType::kDone:
      return "DONE";
    case RecordType::kRetry:
      return "RETRY";
    case RecordType::kDead:
      return "DEAD";
    case RecordType::kCancel:
      return "CANCEL";
    case RecordType::kCancelRequest:
      return "CANCEL_REQ";
    case RecordType::kExpire:
      return "EXPIRE";
    case RecordType::kRelease:
      return "RELEASE";
    case RecordType::kRedrive:
      return "REDRIVE";
    case RecordType::kPurge:
      return "PURGE";
    case RecordType::kScale:
      return "SCALE";
    case RecordType::kReport:
      return "REPORT";
    case RecordType::kForget:
      return "FORGET";
    case RecordType::kHeartbeat:
      return "HEARTBEAT";
    case RecordType::kMove:
      return "MOVE";
    case RecordType::kCheckpointBegin:
      return "CKPT_BEGIN";
    case RecordType::kCheckpointEnd:
      return "CKPT_END";
  }
  return "?";
}

size_t EncodedRecordSize(const RecordView& record) {
  return kRecordOverhead + record.meta.size() + record.payload.size();
}

void EncodeRecordTo(const RecordView& record, char* out) {
  WHEELPIT_CHECK(record.meta.size() <= kRecordMetaMax, "meta of %d bytes", record.meta.size());
  WHEELPIT_CHECK(record.payload.size() <= UINT32_MAX, "payload of %d bytes", record.payload.size());
  out[0] = static_cast<char>(record.type);
  out[1] = static_cast<char>(record.flags);
  StoreLe<uint16_t>(out + 2, static_cast<uint16_t>(record.meta.size()));
  StoreLe<uint32_t>(out + 4, static_cast<uint32_t>(record.payload.size()));
  StoreLe<uint64_t>(out + 8, record.id);
  char* p = out + kHeaderBytes;
  if (!record.meta.empty()) memcpy(p, record.meta.data(), record.meta.size());
  p += record.meta.size();
  if (!record.payload.empty()) memcpy(p, record.payload.data(), record.payload.size());
  p += record.payload.size();
  StoreLe<uint32_t>(p, Crc32c(absl::string_view(out, static_cast<size_t>(p - out))));
}

void EncodeRecord(const RecordView& record, std::string* out) {
  const size_t old_size = out->size();
  out->resize(old_size + EncodedRecordSize(record));
  EncodeRecordTo(record, out->data() + old_size);
}

absl::StatusOr<size_t> PeekRecordSize(absl::string_view bytes) {
  if (bytes.size() < kHeaderBytes)
    return Corrupt(absl::StrFormat("%d bytes left, a header has 16", bytes.size()));
  return kRecordOverhead + LoadLe<uint16_t>(bytes.data() + 2) + LoadLe<uint32_t>(bytes.data() + 4);
}

absl::StatusOr<RecordView> DecodeRecord(absl::string_view bytes, size_t* size) {
  const auto whole = PeekRecordSize(bytes);
  if (!whole.ok()) return whole.status();
  if (bytes.size() < *whole)
    return Corrupt(absl::StrFormat("%d bytes left of %d", bytes.size(), *whole));
  const uint32_t stored = LoadLe<uint32_t>(bytes.data() + *whole - kCrcBytes);
  const uint32_t computed = Crc32c(bytes.substr(0, *whole - kCrcBytes));
  if (stored != computed) {
    return Corrupt(
        absl::StrFormat("checksum is %08x, stored %08x, %d bytes", computed, stored, *whole));
  }
  const size_t meta_bytes = LoadLe<uint16_t>(bytes.data() + 2);
  RecordView record;
  record.type = static_cast<RecordType>(static_cast<uint8_t>(bytes[0]));
  record.flags = static_cast<uint8_t>(bytes[1]);
  record.id = LoadLe<uint64_t>(bytes.data() + 8);
  record.meta = bytes.substr(kHeaderBytes, meta_bytes);
  record.payload = bytes.substr(kHeaderBytes + meta_bytes, *whole - kRecordOverhead - meta_bytes);
  *size = *whole;
  return record;
}

OwnedRecord CopyRecord(const RecordView& record) {
  return OwnedRecord{record.type, record.flags, record.id, std::string(record.meta),
                     std::string(record.payload)};
}

}  // namespace wheelpit
