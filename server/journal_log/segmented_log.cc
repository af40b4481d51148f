#include "server/journal_log/segmented_log.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "server/journal_log/frame.h"
#include "server/journal_log/layout.h"
#include "server/journal_log/recovery.h"

namespace wheelpit {
namespace {

constexpr uint64_t kSegmentBytesMin = 4096;
constexpr uint64_t kSegmentBytesMax = 1ULL << kOffsetBits;

uint64_t RecordBytesMax(const SegmentedLogOptions& options) {
  return std::min<uint64_t>(options.record_bytes_max,
                            options.segment_bytes - kFrameHeaderBytes - kFrameAlign);
}

absl::Status CheckOptions(const SegmentedLogOptions& options) {
  if (options.dir.empty())
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_OPTION",
                     "the journal needs a folder");
  if (options.segment_bytes < kSegmentBytesMin || options.segment_bytes > kSegmentBytesMax ||
      options.segment_bytes % 4096 != 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_OPTION",
                     absl::StrFormat("segments of %d bytes: from %d to %d, a multiple of 4096",
                                     options.segment_bytes, kSegmentBytesMin, kSegmentBytesMax));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseJournalDurability(absl::string_view text, SegmentedLogOptions* options) {
  int64_t ms = 0;
  if (text == "always") {
    options->durability = JournalDurability::kAlways;
  } else if (text == "os") {
    options->durability = JournalDurability::kOs;
  } else if (absl::StartsWith(text, "interval=") && absl::SimpleAtoi(text.substr(9), &ms) &&
             ms >= 1 && ms <= 60'000) {
    options->durability = JournalDurability::kInterval;
    options->interval_ms = ms;
  } else {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_OPTION",
                     absl::StrCat("journal durability ", Quoted(text),
                                  ": always, interval=<1..60000 ms> or os"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SegmentedLog>> SegmentedLog::Open(SegmentedLogOptions options,
                                                                 FileSystem* fs) {
  WHEELPIT_RETURN_IF_ERROR(CheckOptions(options));
  WHEELPIT_RETURN_IF_ERROR(fs->CreateDir(options.dir));
  WHEELPIT_ASSIGN_OR_RETURN(auto lock, fs->Lock(JoinPath(options.dir, "LOCK")));
  auto version = ReadVersionFile(fs, options.dir);
  bool created = false;
  if (absl::IsNotFound(version.status())) {
    WHEELPIT_ASSIGN_OR_RETURN(const auto names, fs->List(options.dir));
    for (const std::string& name : names) {
      if (NumberInName(name, "seg-", ".log") || NumberInName(name, "ckpt-", ".bin")) {
        return MakeError(absl::StatusCode::kDataLoss, "CORRUPT",
                         absl::StrCat(options.dir, " has ", name,
                                      " but no VERSION: restore a backup of the folder"));
      }
    }
    created = true;
    version = VersionFile{kJournalFormat, Rng(options.random_seed).Next()};
    WHEELPIT_RETURN_IF_ERROR(WriteVersionFile(fs, options.dir, *version));
  }
  WHEELPIT_RETURN_IF_ERROR(version.status());
  const uint64_t log_id = version->log_id;
  return std::unique_ptr<SegmentedLog>(
      new SegmentedLog(std::move(options), fs, std::move(lock), log_id, created));
}

SegmentedLog::SegmentedLog(SegmentedLogOptions options, FileSystem* fs,
                           std::unique_ptr<FileLock> lock, uint64_t log_id, bool created)
    : options_(std::move(options)),
      fs_(fs),
      lock_(std::move(lock)),
      log_id_(log_id),
      seed_(FrameSeed(log_id)),
      created_(created),
      pool_(fs, options_.dir,
            {.segment_bytes = options_.segment_bytes,
             .spares_max = options_.spare_segments_max,
             .reserves = options_.reserve_segments},
            &next_number_) {}

SegmentedLog::~SegmentedLog() {
  if (!status().ok()) return;
  if (options_.durability != JournalDurability::kAlways) SyncWritten().IgnoreError();
  WriteCloseMark();
}

absl::StatusOr<RecoveryResult> SegmentedLog::Recover(absl::Span<Fold* const> folds,
                                                     std::function<void(double)> progress) {
  WHEELPIT_ASSIGN_OR_RETURN(const auto names, fs_->List(options_.dir));
  uint64_t highest = 0;
  std::vector<std::string> kept;
  for (const std::string& name : names) {
    if (absl::EndsWith(name, ".tmp")) {
      WHEELPIT_RETURN_IF_ERROR(fs_->Unlink(JoinPath(options_.dir, name)));
      continue;
    }
    for (const absl::string_view prefix : {"seg-", "free-", "damaged-seg-"}) {
      highest = std::max(highest, NumberInName(name, prefix, ".log").value_or(0));
    }
    kept.push_back(name);
  }
  next_number_.store(highest + 1, std::memory_order_relaxed);
  LogRecovery recovery(fs_, options_.dir, log_id_, options_.repair);
  WHEELPIT_RETURN_IF_ERROR(recovery.Scan(kept));
  {
    MutexLock lock(&mu_);
    for (const Segment& segment : recovery.segments()) table_.Add(segment);
  }
  WHEELPIT_RETURN_IF_ERROR(recovery.Replay(folds, progress));
  // What was read may have been written but never synced by the process before: from here on it
  // counts as durable.
  for (const Segment& segment : recovery.segments()) {
    const bool tail = segment.number == recovery.tail_segment();
    // A power cut may have taken the preallocation of the last file; if the disk is full by now,
    // Commit finds that out.
    if (tail) segment.file->Allocate(options_.segment_bytes).IgnoreError();
    if (tail || segment.last_lsn > recovery.result().checkpoint_lsn)
      WHEELPIT_RETURN_IF_ERROR(segment.file->SyncData());
  }
  WHEELPIT_RETURN_IF_ERROR(pool_.Load(kept));
  for (const uint64_t number : recovery.dropped_segments())
    WHEELPIT_RETURN_IF_ERROR(pool_.Recycle(number));
  WHEELPIT_RETURN_IF_ERROR(fs_->SyncDir(options_.dir));
  const Lsn last = recovery.result().last_lsn;
  {
    MutexLock lock(&mu_);
    for (const uint64_t number : recovery.set_aside_segments()) table_.Remove(number);
    for (const uint64_t number : recovery.dropped_segments()) table_.Remove(number);
    for (const Segment& segment : recovery.segments()) {
      Segment* mine = table_.Find(segment.number);
      mine->last_lsn = segment.last_lsn;
      mine->used_bytes = segment.used_bytes;
      mine->sealed = segment.number != recovery.tail_segment();
    }
    place_ = Place{recovery.tail_segment(), recovery.tail_offset(), false, 0};
    checkpoints_ = recovery.checkpoints();
    free_soon_ = true;
  }
  last_frame_crc_ = recovery.tail_crc();
  written_segment_ = recovery.tail_segment();
  written_end_ = recovery.tail_offset();
  last_lsn_.store(last, std::memory_order_relaxed);
  written_lsn_.store(last, std::memory_order_release);
  synced_lsn_.store(last, std::memory_order_release);
  durable_lsn_.store(last, std::memory_order_release);
  replayed_bytes_.store(recovery.replayed_bytes(), std::memory_order_relaxed);
  last_checkpoint_ns_.store(NowNs(), std::memory_order_relaxed);
  if (!recovery.set_aside_segments().empty()) probe_.corrupt->Add();
  disk_low_.store(LooksLow(), std::memory_order_relaxed);
  if (progress) progress(1.0);
  RecoveryResult result = recovery.result();
  result.created = created_;
  result.restored = options_.restored;
  return result;
}

uint64_t SegmentedLog::PayloadBytesMax(const SegmentedLogOptions& options) {
  const uint64_t most = RecordBytesMax(options);
  return most - kRecordOverhead - std::min<uint64_t>(kRecordMetaMax, most / 4);
}

absl::Status SegmentedLog::CheckSizes(absl::Span<const RecordView> records) const {
  const size_t most = RecordBytesMax(options_);
  for (const RecordView& record : records) {
    const size_t size = EncodedRecordSize(record);
    if (size <= most && record.meta.size() <= kRecordMetaMax) continue;
    return MakeError(absl::StatusCode::kInvalidArgument, "RECORD_TOO_LARGE",
                     absl::StrFormat("a %s record of %d bytes (meta %d): at most %d (meta %d)",
                                     RecordTypeName(record.type), size, record.meta.size(), most,
                                     kRecordMetaMax));
  }
  return absl::OkStatus();
}

bool SegmentedLog::Fits(const Place& place, size_t record_bytes) const {
  if (place.segment == 0) return false;
  const size_t frame_bytes = place.frame_open ? place.frame_bytes : 0;
  return place.offset + FrameSpace(frame_bytes + record_bytes) <= options_.segment_bytes;
}

size_t SegmentedLog::CountRolls(absl::Span<const RecordView> records) const {
  Place place = place_;
  size_t rolls = 0;
  for (const RecordView& record : records) {
    const size_t size = EncodedRecordSize(record);
    if (!Fits(place, size)) {
      place = Place{1, 0, false, 0};
      ++rolls;
    }
    place.frame_bytes = (place.frame_open ? place.frame_bytes : 0) + size;
    place.frame_open = true;
  }
  return rolls;
}

bool SegmentedLog::MayRoll(size_t rolls, Purpose purpose) const {
  if (rolls == 0 || !disk_low_.load(std::memory_order_relaxed)) return true;
  if (purpose == Purpose::kNewWork) return false;
  const bool end = purpose == Purpose::kEnd;
  size_t files = pool_.spares() + (end ? pool_.reserves() : 0);
  // Low is not full: while whole segments fit they may be made, but never the last, and for what is
  // no end of a task none of the reserve's size.
  const uint64_t kept = end ? options_.segment_bytes : reserve_bytes();
  if (const auto space = fs_->Space(options_.dir); space.ok() && space->free_bytes > kept) {
    files += (space->free_bytes - kept) / options_.segment_bytes;
  }
  return rolls_pending_ + rolls <= files;
}

void SegmentedLog::Roll(Lsn next_lsn) {
  Segment segment;
  segment.number = next_number_.fetch_add(1, std::memory_order_relaxed);
  WHEELPIT_CHECK(segment.number <= UINT32_MAX, "segment numbers are used up");
  segment.first_lsn = next_lsn;
  segment.last_lsn = next_lsn - 1;
  place_ = Place{segment.number, 0, false, 0};
  table_.Add(std::move(segment));
  ++rolls_pending_;
}

absl::Status SegmentedLog::DiskLowError() const {
  return MakeError(
      absl::StatusCode::kResourceExhausted, "DISK_LOW",
      absl::StrFormat("the disk of %s is low: new work is taken again when space returns",
                      options_.dir),
      absl::Seconds(5));
}

absl::StatusOr<Lsn> SegmentedLog::Append(absl::Span<const RecordView> records,
                                         RecordPosition* positions) {
  return AppendAny(records, positions, Purpose::kNewWork);
}

absl::StatusOr<Lsn> SegmentedLog::AppendOngoing(absl::Span<const RecordView> records,
                                                RecordPosition* positions) {
  return AppendAny(records, positions, Purpose::kOngoing);
}

absl::StatusOr<Lsn> SegmentedLog::AppendReserved(absl::Span<const RecordView> records,
                                                 RecordPosition* positions) {
  return AppendAny(records, positions, Purpose::kEnd);
}

absl::StatusOr<Lsn> SegmentedLog::AppendAny(absl::Span<const RecordView> records,
                                            RecordPosition* positions, Purpose purpose) {
  WHEELPIT_CHECK(!records.empty());
  WHEELPIT_RETURN_IF_ERROR(CheckSizes(records));
  if (disk_low_.load(std::memory_order_relaxed)) {
    // Nothing is committed while all is refused, so look here too.
    disk_low_.store(LooksLow(), std::memory_order_relaxed);
    const bool refused = purpose == Purpose::kNewWork || (purpose == Purpose::kOngoing && BelowReserve());
    if (disk_low_.load(std::memory_order_relaxed) && refused) {
      if (wake_) wake_();  // a commit may be waiting for space
      return DiskLowError();
    }
  }
  Lsn lsn = last_lsn_.load(std::memory_order_relaxed) + 1;
  const Lsn first = lsn;
  bool was_empty = false;
  {
    MutexLock lock(&mu_);
    if (!failure_.ok()) return failure_;
    if (const size_t rolls = CountRolls(records); !MayRoll(rolls, purpose)) return DiskLowError();
    was_empty = active_.empty();
    for (size_t i = 0; i < records.size(); ++i, ++lsn) {
      const size_t size = EncodedRecordSize(records[i]);
      if (!Fits(place_, size)) Roll(lsn);
      Segment* segment = table_.Find(place_.segment);
      if (!place_.frame_open) {
        active_.BeginFrame(place_.segment, place_.offset, lsn);
        place_.frame_open = true;
        place_.frame_bytes = 0;
        if (segment->first_lsn == 0) segment->first_lsn = lsn;
      }
      const uint64_t offset = active_.Add(records[i], size);
      probe_.Appended(records[i].type);
      place_.frame_bytes += size;
      segment->last_lsn = lsn;
      segment->used_bytes = place_.offset + FrameSpace(place_.frame_bytes);
      if (positions != nullptr) positions[i] = MakePosition(place_.segment, offset);
    }
    last_lsn_.store(lsn - 1, std::memory_order_relaxed);
  }
  // A Commit takes all that is there, so only the first record after one needs to wake.
  if ((was_empty || full_.load(std::memory_order_relaxed)) && wake_) wake_();
  return first;
}

absl::StatusOr<std::shared_ptr<File>> SegmentedLog::FileOf(uint64_t segment) {
  {
    MutexLock lock(&mu_);
    Segment* found = table_.Find(segment);
    WHEELPIT_CHECK(found != nullptr, "segment %d", segment);
    if (found->file != nullptr) return found->file;
  }
  WHEELPIT_ASSIGN_OR_RETURN(auto file, pool_.Take(segment, true));
  MutexLock lock(&mu_);
  table_.Find(segment)->file = file;
  --rolls_pending_;
  return file;
}

absl::Status SegmentedLog::WriteFlushing() {
  // Begun anew if this buffer was tried before: nothing of it was promised.
  uint32_t prev_crc = last_frame_crc_;
  uint64_t bytes = 0;
  uint64_t records = 0;
  for (const PendingFrame& frame : flushing_.frames()) {
    FrameHeader header;
    header.generation = static_cast<uint32_t>(frame.segment);
    header.first_lsn = frame.first_lsn;
    header.synced_lsn = synced_lsn_.load(std::memory_order_relaxed);
    header.count = frame.count;
    header.bytes = static_cast<uint32_t>(frame.bytes);
    header.prev_frame_crc = prev_crc;
    prev_crc = SealFrame(header, seed_, flushing_.frame_bytes(frame));
    WHEELPIT_ASSIGN_OR_RETURN(const std::shared_ptr<File> file, FileOf(frame.segment));
    const size_t space = FrameSpace(frame.bytes);
    WHEELPIT_RETURN_IF_ERROR(
        file->WriteAt(frame.offset, {absl::string_view(flushing_.frame_bytes(frame), space)}));
    bytes += space;
    records += frame.count;
    MutexLock lock(&mu_);
    if (unsynced_.empty() || unsynced_.back() != file) unsynced_.push_back(file);
  }
  last_frame_crc_ = prev_crc;
  const PendingFrame& last = flushing_.frames().back();
  written_segment_ = last.segment;
  written_end_ = last.offset + FrameSpace(last.bytes);
  committed_ = true;
  written_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  probe_.written->Add(bytes);
  probe_.batch_records->Observe(static_cast<double>(records));
  return absl::OkStatus();
}

absl::Status SegmentedLog::SyncWritten() {
  MutexLock one_at_a_time(&sync_mu_);
  std::vector<std::shared_ptr<File>> files;
  Lsn written = 0;
  {
    MutexLock lock(&mu_);
    if (!failure_.ok()) return failure_;
    files.swap(unsynced_);
    written = written_lsn_.load(std::memory_order_acquire);
  }
  const uint64_t written_bytes = written_bytes_.load(std::memory_order_relaxed);
  const int64_t began_ns = NowNs();
  for (const auto& file : files) {
    if (absl::Status synced = file->SyncData(); !synced.ok()) {
      probe_.sync_errors->Add();
      // Before the lock is given up: nobody may take the files that are missing from unsynced_ for
      // synced.
      RecordFailure(synced);
      return synced;
    }
  }
  if (written > synced_lsn_.load(std::memory_order_relaxed))
    synced_lsn_.store(written, std::memory_order_release);
  written_at_sync_.store(written_bytes, std::memory_order_relaxed);
  if (options_.clock != nullptr && !files.empty()) {
    const int64_t now_ns = NowNs();
    probe_.sync_seconds->Observe(static_cast<double>(now_ns - began_ns) / 1e9);
    last_sync_ns_.store(now_ns, std::memory_order_relaxed);
  }
  return absl::OkStatus();
}

void SegmentedLog::RecordFailure(const absl::Status& cause) {
  MutexLock lock(&mu_);
  if (!failure_.ok()) return;
  failure_ = MakeError(absl::StatusCode::kUnavailable, "JOURNAL",
                       absl::StrCat("the journal has stopped: ", cause.message(),
                                    "; restart to recover what is safe"));
}

void SegmentedLog::AnnounceFailure(const absl::Status& cause) {
  Log(LogLevel::kError, "journal_failed", {{"error", std::string(cause.message())}});
  if (observer_) observer_();
}

bool SegmentedLog::Commit() {
  const bool committed = CommitAppended();
  Maintain();
  return committed;
}

bool SegmentedLog::CommitAppended() {
  {
    MutexLock lock(&mu_);
    if (!failure_.ok()) return false;
    if (flushing_.empty()) {
      if (!active_.empty()) {
        flushing_.Swap(active_);
        place_.offset += FrameSpace(place_.frame_bytes);
        place_.frame_open = false;
        place_.frame_bytes = 0;
      }
    }
  }
  if (flushing_.empty()) return false;
  absl::Status done = WriteFlushing();
  if (absl::IsResourceExhausted(done)) {
    // Not promised to anybody yet: the next Commit tries the same bytes again.
    probe_.full_errors->Add();
    full_.store(true, std::memory_order_relaxed);
    if (!disk_low_.exchange(true))
      Log(LogLevel::kError, "journal_disk_full", {{"error", std::string(done.message())}});
    return false;
  }
  const bool was_full = full_.exchange(false, std::memory_order_relaxed);
  if (!done.ok()) probe_.write_errors->Add();
  if (done.ok()) {
    const Lsn written = flushing_.last_lsn();
    written_lsn_.store(written, std::memory_order_release);
    if (options_.durability == JournalDurability::kAlways) done = SyncWritten();
    if (done.ok()) {
      Publish(written);
      if (observer_) observer_();
      // Who appended while these bytes waited for space has asked for its commit already.
      if (was_full) CommitAppended();
      return true;
    }
  }
  RecordFailure(done);
  AnnounceFailure(done);
  return false;
}

void SegmentedLog::Publish(Lsn written) {
  const uint64_t segment = flushing_.frames().back().segment;
  const bool rolled = flushing_.frames().front().offset == 0 || flushing_.frames().size() > 1;
  {
    MutexLock lock(&mu_);
    flushing_.Clear();
    if (rolled) {
      table_.SealBefore(segment);
      free_soon_ = true;
    }
  }
  durable_lsn_.store(written, std::memory_order_release);
}

bool SegmentedLog::Sync() {
  if (synced_lsn_.load(std::memory_order_relaxed) == written_lsn_.load(std::memory_order_relaxed))
    return false;
  {
    MutexLock lock(&mu_);
    if (!failure_.ok()) return false;
  }
  if (absl::Status synced = SyncWritten(); !synced.ok()) AnnounceFailure(synced);
  return true;
}

int64_t SegmentedLog::sync_interval_ms() const {
  return options_.durability == JournalDurability::kInterval ? options_.interval_ms : 0;
}

absl::string_view SegmentedLog::durability() const {
  switch (options_.durability) {
    case JournalDurability::kAlways:
      return "always";
    case JournalDurability::kInterval:
      return "interval";
    case JournalDurability::kOs:
      return "os";
  }
  return "?";
}

absl::Status SegmentedLog::status() const {
  MutexLock lock(&mu_);
  return failure_;
}

}  // namespace wheelpit
