// A journal whose records can be read again by another one: what is left of it after a crash.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "server/journal/mem_journal.h"

namespace wheelpit {

// The bytes that outlive a process.
struct JournalDisk {
  std::vector<OwnedRecord> records;  // record of lsn n at n - 1
  Lsn durable = 0;
  struct Chunk {
    FoldId fold;
    Lsn as_of;
    std::string bytes;
  };
  std::vector<Chunk> checkpoint;
  Lsn checkpoint_begin = 0;
};

// Appends to a disk and replays from it; commits as MemJournal does.
class ReplayableJournal : public MemJournal {
 public:
  explicit ReplayableJournal(JournalDisk* disk) : disk_(disk) {
    // What was not durable is lost.
    disk_->records.resize(disk_->durable);
    base_ = disk_->durable;
  }

  absl::StatusOr<RecoveryResult> Recover(absl::Span<Fold* const> folds, std::function<void(double)>) override {
    for (const auto& chunk : disk_->checkpoint) {
      for (Fold* fold : folds) {
        if (fold->id() == chunk.fold) WHEELPIT_RETURN_IF_ERROR(fold->LoadChunk(chunk.as_of, chunk.bytes));
      }
    }
    for (Lsn lsn = disk_->checkpoint_begin + 1; lsn <= disk_->durable; ++lsn) {
      const OwnedRecord& r = disk_->records[lsn - 1];
      RecordView view;
      view.type = r.type;
      view.id = r.id;
      view.meta = r.meta;
      view.payload = r.payload;
      for (Fold* fold : folds) WHEELPIT_RETURN_IF_ERROR(fold->Replay(lsn, {}, view));
    }
    RecoveryResult result;
    result.last_lsn = disk_->durable;
    result.created = disk_->durable == 0;
    return result;
  }
  absl::StatusOr<Lsn> Append(absl::Span<const RecordView> records, RecordPosition*) override {
    if (!append_error.ok()) return append_error;
    const Lsn first = last_lsn() + 1;
    for (const RecordView& r : records) {
      OwnedRecord owned;
      owned.type = r.type;
      owned.id = r.id;
      owned.meta = std::string(r.meta);
      owned.payload = std::string(r.payload);
      disk_->records.push_back(std::move(owned));
    }
    return first;
  }
  absl::StatusOr<Lsn> AppendReserved(absl::Span<const RecordView> records, RecordPosition* positions) override {
    return Append(records, positions);
  }
  bool Keeps(RecordType) const override { return true; }
  Lsn last_lsn() const override { return disk_->records.size(); }
  bool Commit() override {
    if (disk_->durable == disk_->records.size()) return false;
    disk_->durable = disk_->records.size();
    return true;
  }
  // As a sync that took only the first `lsn` records along.
  void CommitThrough(Lsn lsn) { disk_->durable = lsn; }
  Lsn durable_lsn() const override { return disk_->durable; }
  bool durable() const override { return true; }
  JournalDisk* disk() { return disk_; }

  absl::Status append_error;

 private:
  JournalDisk* const disk_;
  Lsn base_ = 0;
};

}  // namespace wheelpit
