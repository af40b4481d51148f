// What the tests of the segmented log share: a fold that remembers everything it was shown, and a
// log on a disk that can fail.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "server/journal_log/segmented_log.h"
#include "tests/support/fault_file.h"

namespace wheelpit {

// The payload of the record with this lsn: any mix-up shows.
inline std::string PayloadOf(Lsn lsn, size_t bytes) {
  std::string payload = absl::StrCat("record ", lsn, " ");
  while (payload.size() < bytes)
    payload.push_back(static_cast<char>('a' + (lsn * 7 + payload.size()) % 26));
  return payload;
}

// Remembers payloads by lsn, in 4 parts that are checkpointed at different moments, as a fuzzy
// checkpoint is.
class RememberingFold : public Fold {
 public:
  static constexpr Lsn kParts = 4;

  FoldId id() const override { return FoldId::kQueue; }

  absl::Status LoadChunk(Lsn as_of, absl::string_view bytes) override {
    const Lsn part = static_cast<Lsn>(bytes[0] - '0');
    as_of_[part] = as_of;
    bytes.remove_prefix(1);
    while (!bytes.empty()) {
      const size_t space = bytes.find(' ');
      const size_t end = bytes.find('\n');
      state_[std::stoull(std::string(bytes.substr(0, space)))] =
          std::string(bytes.substr(space + 1, end - space - 1));
      bytes.remove_prefix(end + 1);
    }
    return absl::OkStatus();
  }

  absl::Status Replay(Lsn lsn, RecordPosition position, const RecordView& record) override {
    if (last_replayed_ != 0) {
      EXPECT_EQ(lsn, last_replayed_ + 1);
    }
    last_replayed_ = lsn;
    if (first_replayed_ == 0) first_replayed_ = lsn;
    EXPECT_EQ(record.id, lsn);
    positions_[lsn] = position;
    if (lsn > as_of_[lsn % kParts]) state_[lsn] = std::string(record.payload);
    return absl::OkStatus();
  }

  absl::Status RecoveryDone(int64_t) override { return absl::OkStatus(); }
  void BeginCheckpoint() override { next_part_ = 0; }
  bool NextChunk(std::string* bytes, Lsn* as_of) override {
    if (next_part_ == kParts) return false;
    *bytes = absl::StrCat(next_part_);
    for (const auto& [lsn, payload] : state_) {
      if (lsn % kParts == next_part_) absl::StrAppend(bytes, lsn, " ", payload, "\n");
    }
    *as_of = state_.empty() ? 0 : state_.rbegin()->first;
    ++next_part_;
    return true;
  }

  void Remember(Lsn lsn, std::string payload) { state_[lsn] = std::move(payload); }
  const std::map<Lsn, std::string>& state() const { return state_; }
  const std::map<Lsn, RecordPosition>& positions() const { return positions_; }
  Lsn first_replayed() const { return first_replayed_; }

 private:
  std::map<Lsn, std::string> state_;
  std::map<Lsn, RecordPosition> positions_;
  Lsn as_of_[kParts] = {};
  Lsn first_replayed_ = 0;
  Lsn last_replayed_ = 0;
  Lsn next_part_ = 0;
};

// One process life of a log.
class LogLife {
 public:
  static SegmentedLogOptions Options() {
    SegmentedLogOptions options;
    options.dir = "/journal";
    options.segment_bytes = 8192;
    options.disk_low_bytes = 16 << 10;
    options.disk_low_percent = 0;
    options.spare_segments_max = 3;
    options.random_seed = 11;
    return options;
  }

  // `pins_complete` = false: still recovering, as far as the pins go.
  LogLife(FileSystem* disk, const SegmentedLogOptions& options, bool pins_complete = true) {
    auto opened = SegmentedLog::Open(options, disk);
    status_ = opened.status();
    if (!opened.ok()) return;
    log_ = *std::move(opened);
    auto recovered = log_->Recover({&fold_}, nullptr);
    status_ = recovered.status();
    if (recovered.ok()) result_ = *recovered;
    if (pins_complete) log_->PinsComplete();
  }

  const absl::Status& status() const { return status_; }
  const RecoveryResult& result() const { return result_; }
  SegmentedLog& log() { return *log_; }
  RememberingFold& fold() { return fold_; }
  void Close() { log_.reset(); }

  // Appends one record; its lsn, or 0 when refused.
  Lsn AppendOngoing(size_t payload_bytes) {
    return Append(payload_bytes, [this](const RecordView& record) { return log_->AppendOngoing({record}, &position_); });
  }
  Lsn Append(size_t payload_bytes, bool reserved = false) {
    return Append(payload_bytes, [this, reserved](const RecordView& record) {
      return reserved ? log_->AppendReserved({record}, &position_) : log_->Append({record}, &position_);
    });
  }
  Lsn Append(size_t payload_bytes, const std::function<absl::StatusOr<Lsn>(const RecordView&)>& append) {
    const Lsn lsn = log_->last_lsn() + 1;
    const std::string payload = PayloadOf(lsn, payload_bytes);
    RecordView record;
    record.type = RecordType::kSubmit;
    record.id = lsn;
    record.meta = "meta";
    record.payload = payload;
    const auto appended = append(record);
    append_status_ = appended.status();
    if (!appended.ok()) return 0;
    EXPECT_EQ(*appended, lsn);
    fold_.Remember(lsn, payload);
    return lsn;
  }
  const absl::Status& append_status() const { return append_status_; }
  RecordPosition position() const { return position_; }

  absl::Status Checkpoint() {
    auto writer = log_->BeginCheckpoint(log_->last_lsn());
    if (!writer.ok()) return writer.status();
    fold_.BeginCheckpoint();
    std::string bytes;
    Lsn as_of = 0;
    while (fold_.NextChunk(&bytes, &as_of)) {
      if (absl::Status added = (*writer)->Add(fold_.id(), as_of, bytes); !added.ok()) return added;
      // More is appended while the chunks are taken.
      if (append_during_checkpoint_) Append(40);
    }
    log_->Commit();
    if (absl::Status failed = log_->status(); !failed.ok()) return failed;
    return (*writer)->Finish();
  }
  void set_append_during_checkpoint(bool append) { append_during_checkpoint_ = append; }

 private:
  RememberingFold fold_;
  std::unique_ptr<SegmentedLog> log_;
  absl::Status status_;
  absl::Status append_status_;
  RecoveryResult result_;
  RecordPosition position_;
  bool append_during_checkpoint_ = true;
};

// State after a life must be a prefix of the state of the life before that has every record up to
// `acknowledged`.
inline void ExpectPrefix(const std::map<Lsn, std::string>& before,
                         const std::map<Lsn, std::string>& after, Lsn acknowledged) {
  EXPECT_GE(after.size(), acknowledged) << "acknowledged records are lost";
  ASSERT_LE(after.size(), before.size());
  Lsn expected = 1;
  for (const auto& [lsn, payload] : after) {
    ASSERT_EQ(lsn, expected++);
    ASSERT_EQ(payload, before.at(lsn)) << "lsn " << lsn;
  }
}

}  // namespace wheelpit
