// `--journal=embedded`: the journal as a folder of preallocated, recycled segment files. Format:
// docs/formats.md.
//
//   SegmentedLogOptions options;
//   options.dir = "/var/lib/wheelpit/journal";
//   options.random_seed = RandomSeed();
//   WHEELPIT_ASSIGN_OR_RETURN(auto log, SegmentedLog::Open(options, PosixFileSystem()));
//   WHEELPIT_ASSIGN_OR_RETURN(RecoveryResult found, log->Recover({&queue_fold, &counter_fold},
//   nullptr));
//
// Threads: see Journal. Destroy it after the journal thread has ended; what was appended and not
// committed is gone then.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/sync.h"
#include "server/journal/journal.h"
#include "server/journal_log/checkpoint_file.h"
#include "server/journal_log/commit_buffer.h"
#include "server/journal_log/file.h"
#include "server/journal_log/probe.h"
#include "server/journal_log/segment_pool.h"
#include "server/journal_log/segment_table.h"

namespace wheelpit {

enum class JournalDurability {
  kAlways,    // synced before acknowledged
  kInterval,  // acknowledged once written; Sync() every interval_ms
  kOs,        // acknowledged once written; the system syncs when it likes
};

struct SegmentedLogOptions {
  std::string dir;
  JournalDurability durability = JournalDurability::kAlways;
  int64_t interval_ms = 50;
  // 4 KiB to 256 MiB, a multiple of 4096. A record must fit into one.
  uint64_t segment_bytes = 64ULL << 20;
  uint64_t record_bytes_max = (16ULL << 20) + kRecordMetaMax + kRecordOverhead;
  // Below the larger of these two the disk is low: new work is refused. Below the size of the reserve only ends of tasks are
  // taken.
  uint64_t disk_low_bytes = 1ULL << 30;
  double disk_low_percent = 5;
  // Bound of the segments together; at it the disk counts as low.
  uint64_t log_bytes_max = 64ULL << 30;
  // Segments that only AppendReserved may use, and only when the disk is low.
  size_t reserve_segments = 2;
  // Recycled segments kept ready: as many as one checkpoint frees.
  size_t spare_segments_max = 10;
  // --journal_restored: the folder is a restored backup.
  bool restored = false;
  // --journal_repair: cut at damage instead of refusing to start.
  bool repair = false;
  // Measures syncs; null = nothing is measured.
  const Clock* clock = nullptr;
  // Makes the id of a new journal; any number that nobody can guess.
  uint64_t random_seed = 0;
};

// `always`, `interval=<ms>`, `os`. kInvalidArgument otherwise.
absl::Status ParseJournalDurability(absl::string_view text, SegmentedLogOptions* options);

class SegmentedLog : public Journal {
 public:
  // Locks the folder, makes it if it is not there, checks its version. kFailedPrecondition LOCKED
  // (names the process that has it), NEWER_FORMAT, OLDER_FORMAT; kDataLoss; kInvalidArgument for
  // options.
  static absl::StatusOr<std::unique_ptr<SegmentedLog>> Open(SegmentedLogOptions options,
                                                            FileSystem* fs);
  ~SegmentedLog() override;

  absl::StatusOr<RecoveryResult> Recover(absl::Span<Fold* const> folds,
                                         std::function<void(double)> progress) override;
  absl::StatusOr<Lsn> Append(absl::Span<const RecordView> records,
                             RecordPosition* positions) override;
  absl::StatusOr<Lsn> AppendOngoing(absl::Span<const RecordView> records,
                                    RecordPosition* positions) override;
  absl::StatusOr<Lsn> AppendReserved(absl::Span<const RecordView> records,
                                     RecordPosition* positions) override;
  uint64_t payload_bytes_max() const override { return PayloadBytesMax(options_); }
  // Of a log with these options.
  static uint64_t PayloadBytesMax(const SegmentedLogOptions& options);
  Lsn last_lsn() const override { return last_lsn_.load(std::memory_order_relaxed); }
  bool Commit() override;
  bool CommitAppended() override;
  void Maintain() override;
  bool Sync() override;
  int64_t sync_interval_ms() const override;
  void SetWorkAvailable(std::function<void()> wake) override { wake_ = std::move(wake); }
  void SetDurableObserver(std::function<void()> observer) override {
    observer_ = std::move(observer);
  }
  Lsn durable_lsn() const override { return durable_lsn_.load(std::memory_order_acquire); }
  absl::Status status() const override;
  bool durable() const override { return true; }
  absl::string_view engine() const override { return "embedded"; }
  absl::string_view durability() const override;
  absl::StatusOr<OwnedRecord> Read(RecordPosition position) const override;
  void Pin(RecordPosition position, uint64_t bytes) override;
  void Unpin(RecordPosition position, uint64_t bytes) override;
  void PinsComplete() override;
  absl::StatusOr<std::unique_ptr<CheckpointWriter>> BeginCheckpoint(Lsn begin_lsn) override;
  JournalUsage Usage() const override;

 private:
  class Checkpoint;
  // What a record is for decides how long it is taken when space runs out.
  enum class Purpose { kNewWork, kOngoing, kEnd };
  struct Place {
    uint64_t segment = 0;  // 0 = none yet
    uint64_t offset = 0;
    bool frame_open = false;
    size_t frame_bytes = 0;
  };

  SegmentedLog(SegmentedLogOptions options, FileSystem* fs, std::unique_ptr<FileLock> lock,
               uint64_t log_id, bool created);

  absl::Status CheckSizes(absl::Span<const RecordView> records) const;
  absl::StatusOr<Lsn> AppendAny(absl::Span<const RecordView> records, RecordPosition* positions,
                                Purpose purpose);
  bool Fits(const Place& place, size_t record_bytes) const;
  size_t CountRolls(absl::Span<const RecordView> records) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool MayRoll(size_t rolls, Purpose purpose) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Roll(Lsn next_lsn) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status DiskLowError() const;
  bool LooksLow() const;
  int64_t NowNs() const { return options_.clock == nullptr ? 0 : options_.clock->MonotonicNanos(); }
  uint64_t reserve_bytes() const { return options_.reserve_segments * options_.segment_bytes; }
  bool BelowReserve() const;

  absl::Status WriteFlushing();
  absl::StatusOr<std::shared_ptr<File>> FileOf(uint64_t segment);
  absl::Status SyncWritten();
  void Publish(Lsn written);
  void RecordFailure(const absl::Status& cause);
  void AnnounceFailure(const absl::Status& cause);
  void WriteCloseMark();
  absl::Status FinishCheckpoint(const CheckpointInfo& info, uint64_t written_at_begin);
  absl::StatusOr<std::shared_ptr<File>> FileForRead(uint64_t segment) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const SegmentedLogOptions options_;
  FileSystem* const fs_;
  const std::unique_ptr<FileLock> lock_;
  const uint64_t log_id_;
  const uint32_t seed_;
  const bool created_;
  std::function<void()> wake_;
  std::function<void()> observer_;

  // Journal thread only (Recover before it).
  SegmentPool pool_;
  uint32_t last_frame_crc_ = 0;
  uint64_t written_segment_ = 0;  // of the last frame written
  uint64_t written_end_ = 0;
  bool committed_ = false;  // something, since Recover
  std::string maintenance_error_;

  std::atomic<uint64_t> next_number_{1};  // relaxed: only uniqueness matters
  std::atomic<Lsn> last_lsn_{0};          // relaxed: the engine thread writes and reads it
  std::atomic<Lsn> written_lsn_{0};       // release by Commit
  std::atomic<Lsn> synced_lsn_{0};        // release after a sync
  std::atomic<Lsn> durable_lsn_{0};       // release by the journal thread, acquire by whoever looks
  std::atomic<bool> disk_low_{false};     // relaxed: a hint that refreshes itself
  std::atomic<bool> full_{false};  // relaxed: a commit waits for space, so every append wakes it
  std::atomic<uint64_t> written_bytes_{0};  // relaxed: a statistic
  // Of the journal behind the newest checkpoint: what recovery replayed (0 once there is a newer
  // one), and written_bytes_ then.
  std::atomic<uint64_t> replayed_bytes_{0};
  std::atomic<uint64_t> written_at_checkpoint_{0};
  // Relaxed: statistics.
  std::atomic<uint64_t> written_at_sync_{0};
  std::atomic<int64_t> last_sync_ns_{0};
  std::atomic<int64_t> last_checkpoint_ns_{0};
  mutable JournalProbe probe_;

  // Held over a sync, so that two threads do not take each other's sync for done. Taken before mu_.
  Mutex sync_mu_ ABSL_ACQUIRED_BEFORE(mu_);
  mutable Mutex mu_;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  mutable SegmentTable table_ ABSL_GUARDED_BY(mu_);
  CommitBuffer active_ ABSL_GUARDED_BY(mu_);
  // Frames are added under mu_ only while empty (Swap); the journal thread may change headers
  // without it.
  CommitBuffer flushing_;
  Place place_ ABSL_GUARDED_BY(mu_);
  size_t rolls_pending_ ABSL_GUARDED_BY(mu_) =
      0;  // segments promised to Append whose file is not taken yet
  std::vector<std::shared_ptr<File>> unsynced_ ABSL_GUARDED_BY(mu_);
  std::vector<CheckpointInfo> checkpoints_ ABSL_GUARDED_BY(mu_);  // newest first
  bool free_soon_ ABSL_GUARDED_BY(mu_) = false;
  bool pins_complete_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace wheelpit
