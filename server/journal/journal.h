// The journal: the one place where state survives. Everything that must outlive the process is a
// record appended here, and the state itself is a deterministic fold of the records (fold.h).
//
// Three roles, three threads:
//   engine thread   Append(), Pin(), Unpin(), and reads;
//   journal thread  Commit() in a loop: takes what was appended, writes and syncs it, publishes
//   durable_lsn(); any thread      durable_lsn(), status(), Read().
// The journal owns no thread, reads no clock and never sleeps: app/ (or a simulation) drives it.
//
//   auto first = journal->Append(records, positions);   // engine thread; memory only
//   journal->Commit();                                  // journal thread; one write, one sync
//   // the observer saw durable_lsn() >= *first + records.size() - 1: now, and not before, answer
//   the caller
//
// Durability is prefix-ordered: when lsn n is durable, so is every lsn before it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/journal/fold.h"
#include "server/journal/record.h"

namespace wheelpit {

// What recovery found, before anything new is appended.
struct RecoveryResult {
  Lsn last_lsn = 0;
  Lsn checkpoint_lsn = 0;
  uint64_t replayed_records = 0;
  uint64_t cut_bytes = 0;  // of a torn tail that was never promised
  bool created = false;    // the folder was empty: a new history
  bool restored = false;   // --journal_restored: the caller starts a new history_id
};

// A checkpoint being written. Any one thread at a time (app's background thread).
class CheckpointWriter {
 public:
  // Destroying an unfinished writer abandons the checkpoint.
  virtual ~CheckpointWriter() = default;
  // Appends one chunk of fold `fold`: its state as of `as_of` (it covers exactly the records <=
  // as_of that concern it).
  virtual absl::Status Add(FoldId fold, Lsn as_of, absl::string_view bytes) = 0;
  // Makes the checkpoint durable and current, and frees what it makes superfluous. Call only once
  // durable_lsn() >= every as_of.
  virtual absl::Status Finish() = 0;
};

struct JournalUsage {
  uint64_t segments = 0;
  uint64_t live_bytes = 0;  // pinned
  uint64_t garbage_bytes = 0;
  uint64_t checkpoint_bytes = 0;
  uint64_t free_bytes = 0;     // of the file system
  uint64_t written_bytes = 0;  // since start
  uint64_t bytes_since_checkpoint = 0;
  uint64_t unsynced_bytes = 0;  // appended, and lost with power
  // On the clock's monotonic time; 0 = never, or not known.
  int64_t last_sync_ns = 0;
  int64_t last_checkpoint_ns = 0;  // at the start: then
  Lsn checkpoint_lsn = 0;
  bool disk_low = false;  // below the low watermark: refuse new work (DISK_LOW), go on with the old
};

class Journal {
 public:
  virtual ~Journal() = default;

  // Replays into `folds` (newest valid checkpoint, then every later record in order), once, before
  // anything else. Every fold sees every record and skips what is not its own; RecoveryDone is the
  // caller's to call, for it knows the time. Folds may Pin and Read what they are shown. Calls
  // `progress(0..1)` now and then. kDataLoss when something that was promised is damaged: says what
  // and what to do.
  virtual absl::StatusOr<RecoveryResult> Recover(absl::Span<Fold* const> folds,
                                                 std::function<void(double)> progress) = 0;

  // Puts records at the end, in order, and returns the lsn of the first. `positions` (may be null)
  // gets records.size() places. Memory only; not durable before Commit(). Errors:
  // kResourceExhausted DISK_LOW (nothing was appended), kUnavailable JOURNAL after a failure
  // (sticky), kInvalidArgument for a record that is too large.
  virtual absl::StatusOr<Lsn> Append(absl::Span<const RecordView> records,
                                     RecordPosition* positions) = 0;
  // Like Append, for what goes on while new work is refused: leases, reports, the queues' settings.
  // Refused (DISK_LOW) when no more is free than the reserve.
  virtual absl::StatusOr<Lsn> AppendOngoing(absl::Span<const RecordView> records,
                                            RecordPosition* positions) {
    return Append(records, positions);
  }
  // Like Append, but may use the reserve kept for ends of tasks: for records that free space or
  // keep a promise.
  virtual absl::StatusOr<Lsn> AppendReserved(absl::Span<const RecordView> records,
                                             RecordPosition* positions) = 0;

  // False if the bytes of such records go nowhere: they may be appended without meta and payload.
  virtual bool Keeps(RecordType) const { return true; }

  // Last appended lsn. Engine thread.
  virtual Lsn last_lsn() const = 0;

  // Writes and syncs everything appended so far; false if there was nothing. Journal thread only.
  // After a failed write or sync the journal is stopped for good: status() is kUnavailable JOURNAL,
  // durable_lsn() stays, the process must exit and recover.
  virtual bool Commit() = 0;
  // Commit() in its two steps, for a thread that has something to do between them: the commit itself,
  // and then what can wait (segments to free, spare files).
  virtual bool CommitAppended() { return Commit(); }
  virtual void Maintain() {}
  // Journal thread. Durability `interval` acknowledges what is written but not synced: call this
  // every sync_interval_ms(). False if there was nothing to sync.
  virtual bool Sync() { return false; }
  // 0 = Sync() need not be called.
  virtual int64_t sync_interval_ms() const { return 0; }
  // Called by the engine after its appends, and from any thread at shutdown: wakes whoever waits to
  // Commit().
  virtual void SetWorkAvailable(std::function<void()> wake) = 0;
  // Called on the journal thread after durable_lsn() or status() changed. Set before the first
  // Commit().
  virtual void SetDurableObserver(std::function<void()> observer) = 0;

  // Acquire: whoever sees lsn n here sees everything written before n was published.
  virtual Lsn durable_lsn() const = 0;
  virtual absl::Status status() const = 0;
  // False for the memory journal: acks mean applied.
  virtual bool durable() const = 0;
  // `embedded`, `memory`.
  virtual absl::string_view engine() const = 0;
  // `always`, `interval`, `os`, `none`.
  virtual absl::string_view durability() const = 0;

  // Reads one record back, verified. Appended but uncommitted records are readable too. kDataLoss
  // CORRUPT, kNotFound.
  virtual absl::StatusOr<OwnedRecord> Read(RecordPosition position) const = 0;

  // A record is needed (its payload may be read again): its segment is kept. Engine thread; counts
  // must pair.
  virtual void Pin(RecordPosition position, uint64_t bytes) = 0;
  virtual void Unpin(RecordPosition position, uint64_t bytes) = 0;
  // After Recover, once every fold has pinned what it was left with: only from here on may segments
  // that nobody pins be freed. Engine thread.
  virtual void PinsComplete() {}

  // Starts a checkpoint whose replay begins after `begin_lsn` (= last_lsn() at that moment on the
  // engine thread).
  virtual absl::StatusOr<std::unique_ptr<CheckpointWriter>> BeginCheckpoint(Lsn begin_lsn) = 0;

  virtual JournalUsage Usage() const = 0;

  // Largest payload that fits into a record, whatever its meta.
  virtual uint64_t payload_bytes_max() const { return UINT64_MAX; }
};

}  // namespace wheelpit
