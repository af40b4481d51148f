// Journal records of the queue as plain values, and their bytes. record_codec.cc alone knows the proto types.
//
// Not thread-safe: one codec each user (it keeps its scratch messages).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/model/queue_stats.h"
#include "server/model/task.h"

namespace wheelpit {

// Defaults are resolved and times absolute; `spec.payload` is the record's payload, not part of the meta.
struct SubmitRecord {
  int64_t at_ms = 0;
  uint32_t queue = 0;
  uint64_t request_hash = 0;
  bool moved = false;
  TaskSpec spec;
};

struct LeaseItemRecord {
  uint64_t task = 0;
  uint64_t token = 0;
  uint32_t attempt = 0;
  uint32_t queue = 0;
  int64_t deadline_ms = 0;
};

struct LeaseRecord {
  int64_t at_ms = 0;
  std::string worker;
  uint64_t session = 0;
  std::vector<LeaseItemRecord> leases;
};

// The task's state after DONE, RETRY, DEAD, CANCEL, CANCEL_REQ, EXPIRE or RELEASE. `reason` of CANCEL and EXPIRE is `error` when a
// Fail caused it.
struct TaskRecord {
  int64_t at_ms = 0;
  uint32_t queue = 0;
  uint64_t token = 0;
  uint32_t attempts = 0;
  uint32_t failures = 0;
  uint32_t losses = 0;
  uint32_t releases = 0;
  uint32_t redrives = 0;
  int64_t due_ms = 0;
  int64_t retain_until_ms = 0;
  int64_t dedupe_until_ms = 0;
  std::string reason;
  std::string cause;
  std::string content_type;
  // DONE, CANCEL, EXPIRE: what Describe made of the SUBMIT record.
  std::string description;
  bool fenced = false;
};

struct PurgeRecord {
  int64_t at_ms = 0;
  uint32_t queue = 0;
  std::vector<uint64_t> ids;
  std::string cause;
};

struct QueueRecord {
  int64_t at_ms = 0;
  uint32_t number = 0;
  std::string name;
  QueueConfig config;
  QueueFlags flags;
  bool deleted = false;
  int64_t created_at_ms = 0;
};

struct EpochRecord {
  uint64_t epoch = 0;
  std::string hash_key;
};

class RecordCodec {
 public:
  RecordCodec();
  ~RecordCodec();

  // `*meta` is replaced.
  void Encode(const SubmitRecord& record, std::string* meta);
  void Encode(const LeaseRecord& record, std::string* meta);
  void Encode(const TaskRecord& record, std::string* meta);
  void Encode(const PurgeRecord& record, std::string* meta);
  void Encode(const QueueRecord& record, std::string* meta);
  // What a view of the task shows and no slot holds, for Decode(…, SubmitRecord*). `*description` is replaced; empty if there is nothing.
  void Describe(const SubmitRecord& record, std::string* description);
  // kDataLoss when the bytes are no such message.
  absl::Status Decode(absl::string_view meta, SubmitRecord* record);
  absl::Status Decode(absl::string_view meta, LeaseRecord* record);
  absl::Status Decode(absl::string_view meta, TaskRecord* record);
  absl::Status Decode(absl::string_view meta, PurgeRecord* record);
  absl::Status Decode(absl::string_view meta, QueueRecord* record);
  absl::Status Decode(absl::string_view meta, EpochRecord* record);

 private:
  struct Messages;
  std::unique_ptr<Messages> m_;
};

}  // namespace wheelpit
