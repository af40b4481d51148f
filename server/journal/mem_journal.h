// `--journal=memory`: the journal's contract without a disk. Nothing outlives the process; an ack
// means applied.
//
// REPORT and the other records that nobody reads again cost no copy. A record that may be read
// again (a task's) is copied; it stays readable while it is pinned, and, before its first Pin, for
// as long as few bytes of such records have come after it.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "base/sync.h"
#include "server/journal/journal.h"

namespace wheelpit {

struct MemJournalOptions {
  // Bytes of records neither pinned yet nor ever that stay readable after their commit.
  uint64_t unpinned_bytes_max = 4ULL << 20;
  uint64_t record_bytes_max = (16ULL << 20) + kRecordMetaMax + kRecordOverhead;
};

class MemJournal : public Journal {
 public:
  explicit MemJournal(MemJournalOptions options = {});

  absl::StatusOr<RecoveryResult> Recover(absl::Span<Fold* const> folds,
                                         std::function<void(double)> progress) override;
  absl::StatusOr<Lsn> Append(absl::Span<const RecordView> records,
                             RecordPosition* positions) override;
  absl::StatusOr<Lsn> AppendReserved(absl::Span<const RecordView> records,
                                     RecordPosition* positions) override;
  bool Keeps(RecordType type) const override;
  Lsn last_lsn() const override { return appended_.load(std::memory_order_relaxed); }
  bool Commit() override;
  void SetWorkAvailable(std::function<void()> wake) override { wake_ = std::move(wake); }
  void SetDurableObserver(std::function<void()> observer) override {
    observer_ = std::move(observer);
  }
  Lsn durable_lsn() const override { return published_.load(std::memory_order_acquire); }
  absl::Status status() const override { return absl::OkStatus(); }
  bool durable() const override { return false; }
  absl::string_view engine() const override { return "memory"; }
  absl::string_view durability() const override { return "none"; }
  absl::StatusOr<OwnedRecord> Read(RecordPosition position) const override;
  void Pin(RecordPosition position, uint64_t bytes) override;
  void Unpin(RecordPosition position, uint64_t bytes) override;
  // Takes the chunks and forgets them.
  absl::StatusOr<std::unique_ptr<CheckpointWriter>> BeginCheckpoint(Lsn begin_lsn) override;
  JournalUsage Usage() const override;

 private:
  struct Stored {
    OwnedRecord record;
    uint32_t pins = 0;
  };

  void Keep(Lsn lsn, const RecordView& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ForgetUnpinned() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const MemJournalOptions options_;
  std::function<void()> wake_;
  std::function<void()> observer_;

  std::atomic<Lsn> appended_{0};            // release by the engine thread, acquire by Commit
  std::atomic<Lsn> published_{0};           // release by Commit, acquire by whoever looks
  std::atomic<uint64_t> written_bytes_{0};  // relaxed: a statistic

  mutable Mutex mu_;
  // By position, which is the lsn.
  absl::flat_hash_map<uint64_t, std::unique_ptr<Stored>> stored_ ABSL_GUARDED_BY(mu_);
  // Every kept record in lsn order until it is first looked at here: pinned by then, or forgotten.
  std::deque<Lsn> unpinned_ ABSL_GUARDED_BY(mu_);
  uint64_t unpinned_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t pinned_bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace wheelpit
