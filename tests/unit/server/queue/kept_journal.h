// A journal for the queue's tests: keeps every record in memory, knows what is durable, and can lose the rest.
//
//   journal.Commit();                 // everything appended is durable
//   KeptJournal next = journal.AfterCrash();   // only that is left
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/errors.h"
#include "server/journal/journal.h"

namespace wheelpit {

class KeptJournal : public Journal {
 public:
  struct Chunk {
    Lsn as_of;
    std::string bytes;
  };

  // What a process finds after a crash: the durable records, and the checkpoint if one is set.
  std::unique_ptr<KeptJournal> AfterCrash() const {
    auto next = std::make_unique<KeptJournal>();
    next->records_.assign(records_.begin(), records_.begin() + static_cast<ptrdiff_t>(durable_));
    next->durable_ = durable_;
    return next;
  }
  void FailAppends(absl::Status status) { refusal_ = std::move(status); }
  void FailOngoing(absl::Status status) { ongoing_refusal_ = std::move(status); }
  void FailReserved(absl::Status status) { reserved_refusal_ = std::move(status); }
  void DamagePayload(RecordPosition position) { damaged_.push_back(position.packed); }
  const std::vector<OwnedRecord>& records() const { return records_; }
  size_t CountOf(RecordType type) const {
    return static_cast<size_t>(
        std::count_if(records_.begin(), records_.end(), [type](const OwnedRecord& r) { return r.type == type; }));
  }
  // Pinned bytes by position.
  const std::map<uint64_t, std::pair<int, int64_t>>& pins() const { return pins_; }

  // Chunks (may be none), then the records after `begin`.
  absl::Status RecoverFrom(const std::vector<Chunk>& chunks, Lsn begin, Fold* fold) {
    for (const Chunk& chunk : chunks) {
      if (absl::Status s = fold->LoadChunk(chunk.as_of, chunk.bytes); !s.ok()) return s;
    }
    for (Lsn lsn = begin + 1; lsn <= records_.size(); ++lsn) {
      if (absl::Status s = fold->Replay(lsn, RecordPosition{lsn}, ViewOf(records_[lsn - 1])); !s.ok()) return s;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<RecoveryResult> Recover(absl::Span<Fold* const> folds, std::function<void(double)>) override {
    for (Fold* fold : folds) {
      if (absl::Status s = RecoverFrom({}, 0, fold); !s.ok()) return s;
    }
    return RecoveryResult{};
  }
  absl::StatusOr<Lsn> Append(absl::Span<const RecordView> records, RecordPosition* positions) override {
    if (!refusal_.ok()) return refusal_;
    return AppendReserved(records, positions);
  }
  absl::StatusOr<Lsn> AppendOngoing(absl::Span<const RecordView> records, RecordPosition* positions) override {
    if (!ongoing_refusal_.ok()) return ongoing_refusal_;
    return AppendReserved(records, positions);
  }
  absl::StatusOr<Lsn> AppendReserved(absl::Span<const RecordView> records, RecordPosition* positions) override {
    if (!reserved_refusal_.ok()) return reserved_refusal_;
    const Lsn first = records_.size() + 1;
    for (const RecordView& r : records) {
      records_.push_back({r.type, r.flags, r.id, std::string(r.meta), std::string(r.payload)});
      if (positions != nullptr) *positions++ = RecordPosition{records_.size()};
    }
    return first;
  }
  Lsn last_lsn() const override { return records_.size(); }
  bool Commit() override {
    const bool any = durable_ < records_.size();
    durable_ = records_.size();
    return any;
  }
  // Makes durable up to `lsn` only.
  void CommitUpTo(Lsn lsn) { durable_ = std::max(durable_, std::min<Lsn>(lsn, records_.size())); }
  void SetWorkAvailable(std::function<void()>) override {}
  void SetDurableObserver(std::function<void()>) override {}
  Lsn durable_lsn() const override { return durable_; }
  absl::Status status() const override { return absl::OkStatus(); }
  bool durable() const override { return true; }
  absl::string_view engine() const override { return "kept"; }
  absl::string_view durability() const override { return "always"; }
  absl::StatusOr<OwnedRecord> Read(RecordPosition position) const override {
    if (position.packed == 0 || position.packed > records_.size()) {
      return MakeError(absl::StatusCode::kNotFound, "", "no such record");
    }
    if (std::count(damaged_.begin(), damaged_.end(), position.packed) != 0) {
      return MakeError(absl::StatusCode::kDataLoss, "CORRUPT", "bad checksum");
    }
    return records_[position.packed - 1];
  }
  void Pin(RecordPosition position, uint64_t bytes) override {
    auto& [count, sum] = pins_[position.packed];
    ++count;
    sum += static_cast<int64_t>(bytes);
  }
  void Unpin(RecordPosition position, uint64_t bytes) override {
    auto& [count, sum] = pins_[position.packed];
    --count;
    sum -= static_cast<int64_t>(bytes);
    WHEELPIT_CHECK(count >= 0 && (count > 0) == (sum > 0), "pins of record %d: %d, %d bytes", position.packed, count, sum);
    if (count == 0) pins_.erase(position.packed);
  }
  absl::StatusOr<std::unique_ptr<CheckpointWriter>> BeginCheckpoint(Lsn) override {
    return absl::UnimplementedError("tests take the chunks themselves");
  }
  JournalUsage Usage() const override { return {}; }

 private:
  static RecordView ViewOf(const OwnedRecord& r) { return {r.type, r.flags, r.id, r.meta, r.payload}; }

  std::vector<OwnedRecord> records_;
  Lsn durable_ = 0;
  absl::Status refusal_;
  absl::Status ongoing_refusal_;
  absl::Status reserved_refusal_;
  std::vector<uint64_t> damaged_;
  std::map<uint64_t, std::pair<int, int64_t>> pins_;
};

}  // namespace wheelpit
