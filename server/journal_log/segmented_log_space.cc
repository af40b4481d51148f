// SegmentedLog: what is read back, pinned, checkpointed and freed.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/journal_log/frame.h"
#include "server/journal_log/layout.h"
#include "server/journal_log/segmented_log.h"

namespace wheelpit {
namespace {
// A record that is read back comes with the first read if it is not longer than this.
constexpr size_t kReadFirstBytes = 4096;
}  // namespace

absl::StatusOr<std::shared_ptr<File>> SegmentedLog::FileForRead(uint64_t segment) const {
  Segment* found = table_.Find(segment);
  if (found == nullptr || found->file == nullptr) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrFormat("segment %d is not there", segment));
  }
  return found->file;
}

absl::StatusOr<OwnedRecord> SegmentedLog::Read(RecordPosition position) const {
  const uint64_t segment = SegmentOf(position);
  const uint64_t offset = OffsetOf(position);
  std::shared_ptr<File> file;
  size_t size = 0;
  {
    MutexLock lock(&mu_);
    absl::string_view pending = active_.Find(segment, offset);
    if (pending.empty()) pending = flushing_.Find(segment, offset);
    if (!pending.empty()) {
      WHEELPIT_ASSIGN_OR_RETURN(const RecordView record, DecodeRecord(pending, &size));
      return CopyRecord(record);
    }
    WHEELPIT_ASSIGN_OR_RETURN(file, FileForRead(segment));
  }
  std::string bytes(kReadFirstBytes, '\0');
  WHEELPIT_ASSIGN_OR_RETURN(const size_t got, file->ReadAt(offset, bytes.size(), bytes.data()));
  bytes.resize(got);
  WHEELPIT_ASSIGN_OR_RETURN(const size_t whole, PeekRecordSize(bytes));
  if (whole > bytes.size() && whole <= options_.segment_bytes) {
    bytes.resize(whole);
    WHEELPIT_ASSIGN_OR_RETURN(const size_t more,
                              file->ReadAt(offset + got, whole - got, bytes.data() + got));
    bytes.resize(got + more);
  }
  auto record = DecodeRecord(bytes, &size);
  if (!record.ok()) {
    probe_.corrupt->Add();
    return MakeError(
        absl::StatusCode::kDataLoss, "CORRUPT",
        absl::StrFormat("segment %d, offset %d: %s", segment, offset, record.status().message()));
  }
  return CopyRecord(*record);
}

void SegmentedLog::Pin(RecordPosition position, uint64_t bytes) {
  bool known;
  {
    MutexLock lock(&mu_);
    known = table_.Pin(SegmentOf(position), bytes);
  }
  // Read() will say so when it is asked for: one lost payload must not keep the rest from starting.
  if (!known)
    Log(LogLevel::kError, "journal_segment_missing",
        {{"segment", absl::StrCat(SegmentOf(position))}});
}

void SegmentedLog::Unpin(RecordPosition position, uint64_t bytes) {
  MutexLock lock(&mu_);
  const Segment* segment = table_.Find(SegmentOf(position));
  if (segment == nullptr) return;
  table_.Unpin(SegmentOf(position), bytes);
  if (segment->pins == 0 && segment->sealed) free_soon_ = true;
}

void SegmentedLog::PinsComplete() {
  MutexLock lock(&mu_);
  pins_complete_ = true;
}

bool SegmentedLog::LooksLow() const {
  const auto space = fs_->Space(options_.dir);
  if (!space.ok()) return disk_low_.load(std::memory_order_relaxed);
  const uint64_t percent = static_cast<uint64_t>(static_cast<double>(space->total_bytes) *
                                                 options_.disk_low_percent / 100);
  if (space->free_bytes < std::max(options_.disk_low_bytes, percent)) return true;
  MutexLock lock(&mu_);
  return table_.size() * options_.segment_bytes > options_.log_bytes_max;
}

bool SegmentedLog::BelowReserve() const {
  const auto space = fs_->Space(options_.dir);
  return !space.ok() || space->free_bytes < reserve_bytes();
}

// Nothing here is promised to anybody: what fails is tried again, and said once.
void SegmentedLog::Maintain() {
  if (full_.load(std::memory_order_relaxed)) return;
  std::vector<Segment> freed;
  {
    MutexLock lock(&mu_);
    if (!failure_.ok()) return;
    if (free_soon_ && pins_complete_) {
      freed = table_.TakeFreeable(checkpoints_.size() == 2 ? checkpoints_[1].begin_lsn : 0);
      free_soon_ = false;
    }
  }
  absl::Status done;
  for (const Segment& segment : freed) done.Update(pool_.Recycle(segment.number));
  probe_.cleaned->Add(freed.size() * options_.segment_bytes);
  const bool low = LooksLow();
  if (low != disk_low_.exchange(low, std::memory_order_relaxed)) {
    Log(low ? LogLevel::kWarning : LogLevel::kInfo, low ? "journal_disk_low" : "journal_disk_ok",
        {{"dir", options_.dir}});
  }
  if (!low && done.ok() && pool_.reserves() < options_.reserve_segments)
    done.Update(pool_.FillReserve());
  if (!low && done.ok() && pool_.spares() == 0 && written_end_ > options_.segment_bytes / 2)
    done.Update(pool_.PrepareSpare());
  const std::string error(done.message());
  if (!done.ok()) probe_.maintenance_errors->Add();
  if (!done.ok() && error != maintenance_error_)
    Log(LogLevel::kWarning, "journal_maintenance", {{"error", error}});
  maintenance_error_ = error;
}

// An empty frame that states what was synced: so that damage to the last frames shows even though
// nothing was written after them.
void SegmentedLog::WriteCloseMark() {
  const Lsn written = written_lsn_.load(std::memory_order_relaxed);
  if (!committed_ || !flushing_.empty() ||
      written_end_ + kFrameHeaderBytes > options_.segment_bytes)
    return;
  std::shared_ptr<File> file;
  {
    MutexLock lock(&mu_);
    const Segment* segment = table_.Find(written_segment_);
    if (segment == nullptr || segment->file == nullptr) return;
    file = segment->file;
  }
  FrameHeader header;
  header.generation = static_cast<uint32_t>(written_segment_);
  header.first_lsn = written + 1;
  header.synced_lsn = synced_lsn_.load(std::memory_order_relaxed);
  header.prev_frame_crc = last_frame_crc_;
  char frame[kFrameHeaderBytes];
  SealFrame(header, seed_, frame);
  file->WriteAt(written_end_, {absl::string_view(frame, sizeof frame)}).IgnoreError();
}

class SegmentedLog::Checkpoint : public CheckpointWriter {
 public:
  Checkpoint(SegmentedLog* log, std::string path, std::unique_ptr<File> file, Lsn begin_lsn)
      : log_(log),
        path_(std::move(path)),
        written_at_begin_(log->written_bytes_.load(std::memory_order_relaxed)),
        writer_(std::move(file), log->log_id_, begin_lsn) {}
  ~Checkpoint() override {
    if (!finished_) log_->fs_->Unlink(path_).IgnoreError();
  }

  absl::Status Add(FoldId fold, Lsn as_of, absl::string_view bytes) override {
    end_lsn_ = std::max(end_lsn_, as_of);
    return writer_.Add(fold, as_of, bytes);
  }

  absl::Status Finish() override {
    WHEELPIT_RETURN_IF_ERROR(log_->status());
    // A checkpoint must never know of a record that the journal may still lose.
    if (log_->options_.durability != JournalDurability::kAlways)
      WHEELPIT_RETURN_IF_ERROR(log_->SyncWritten());
    const Lsn synced = log_->synced_lsn_.load(std::memory_order_acquire);
    if (end_lsn_ > synced) {
      return MakeError(
          absl::StatusCode::kFailedPrecondition, "NOT_DURABLE",
          absl::StrFormat("the checkpoint reflects lsn %d, durable is %d", end_lsn_, synced));
    }
    WHEELPIT_ASSIGN_OR_RETURN(const CheckpointInfo info, writer_.Finish());
    WHEELPIT_RETURN_IF_ERROR(
        log_->fs_->Rename(path_, JoinPath(log_->options_.dir, CheckpointName(info.begin_lsn))));
    finished_ = true;
    return log_->FinishCheckpoint(info, written_at_begin_);
  }

 private:
  SegmentedLog* const log_;
  const std::string path_;
  const uint64_t written_at_begin_;
  CheckpointFileWriter writer_;
  Lsn end_lsn_ = 0;
  bool finished_ = false;
};

absl::StatusOr<std::unique_ptr<CheckpointWriter>> SegmentedLog::BeginCheckpoint(Lsn begin_lsn) {
  WHEELPIT_RETURN_IF_ERROR(status());
  std::string path = JoinPath(options_.dir, absl::StrCat(CheckpointName(begin_lsn), ".tmp"));
  WHEELPIT_ASSIGN_OR_RETURN(auto file, fs_->Open(path, OpenMode::kCreate));
  return std::make_unique<Checkpoint>(this, std::move(path), std::move(file), begin_lsn);
}

absl::Status SegmentedLog::FinishCheckpoint(const CheckpointInfo& info, uint64_t written_at_begin) {
  WHEELPIT_RETURN_IF_ERROR(fs_->SyncDir(options_.dir));
  std::vector<CheckpointInfo> superfluous;
  {
    MutexLock lock(&mu_);
    // Of the same lsn: it has replaced the other.
    if (!checkpoints_.empty() && checkpoints_[0].begin_lsn == info.begin_lsn)
      checkpoints_.erase(checkpoints_.begin());
    checkpoints_.insert(checkpoints_.begin(), info);
    while (checkpoints_.size() > 2) {
      superfluous.push_back(checkpoints_.back());
      checkpoints_.pop_back();
    }
    free_soon_ = true;
  }
  last_checkpoint_ns_.store(NowNs(), std::memory_order_relaxed);
  replayed_bytes_.store(0, std::memory_order_relaxed);
  written_at_checkpoint_.store(written_at_begin, std::memory_order_relaxed);
  for (const CheckpointInfo& old : superfluous) {
    WHEELPIT_RETURN_IF_ERROR(fs_->Unlink(JoinPath(options_.dir, CheckpointName(old.begin_lsn))));
  }
  if (wake_) wake_();  // segments are freed by the next Commit, even if it finds nothing to write
  return absl::OkStatus();
}

JournalUsage SegmentedLog::Usage() const {
  JournalUsage usage;
  usage.written_bytes = written_bytes_.load(std::memory_order_relaxed);
  usage.bytes_since_checkpoint = replayed_bytes_.load(std::memory_order_relaxed) +
                                 usage.written_bytes -
                                 written_at_checkpoint_.load(std::memory_order_relaxed);
  usage.disk_low = disk_low_.load(std::memory_order_relaxed);
  if (const auto space = fs_->Space(options_.dir); space.ok()) usage.free_bytes = space->free_bytes;
  usage.last_sync_ns = last_sync_ns_.load(std::memory_order_relaxed);
  usage.last_checkpoint_ns = last_checkpoint_ns_.load(std::memory_order_relaxed);
  MutexLock lock(&mu_);
  usage.unsynced_bytes = active_.size() + usage.written_bytes - std::min(usage.written_bytes, written_at_sync_.load(std::memory_order_relaxed));
  usage.segments = table_.size();
  usage.live_bytes = table_.pinned_bytes();
  const uint64_t used = table_.used_bytes();
  usage.garbage_bytes = used > usage.live_bytes ? used - usage.live_bytes : 0;
  for (const CheckpointInfo& checkpoint : checkpoints_) usage.checkpoint_bytes += checkpoint.bytes;
  if (!checkpoints_.empty()) usage.checkpoint_lsn = checkpoints_[0].begin_lsn;
  return usage;
}

}  // namespace wheelpit
