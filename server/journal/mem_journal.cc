#include "server/journal/mem_journal.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/errors.h"

namespace wheelpit {
namespace {

// Records that no fold reads again by position.
bool NeverReadAgain(RecordType type) {
  switch (type) {
    case RecordType::kReport:
    case RecordType::kForget:
    case RecordType::kHeartbeat:
    case RecordType::kLease:
    case RecordType::kScale:
    case RecordType::kCheckpointBegin:
    case RecordType::kCheckpointEnd:
      return true;
    default:
      return false;
  }
}

class NullCheckpointWriter : public CheckpointWriter {
 public:
  absl::Status Add(FoldId, Lsn, absl::string_view) override { return absl::OkStatus(); }
  absl::Status Finish() override { return absl::OkStatus(); }
};

uint64_t BytesOf(const OwnedRecord& record) {
  return kRecordOverhead + record.meta.size() + record.payload.size();
}

}  // namespace

MemJournal::MemJournal(MemJournalOptions options) : options_(options) {}

absl::StatusOr<RecoveryResult> MemJournal::Recover(absl::Span<Fold* const>,
                                                   std::function<void(double)> progress) {
  if (progress) progress(1.0);
  RecoveryResult result;
  result.created = true;
  return result;
}

absl::StatusOr<Lsn> MemJournal::Append(absl::Span<const RecordView> records,
                                       RecordPosition* positions) {
  WHEELPIT_CHECK(!records.empty());
  bool keeps = false;
  uint64_t bytes = 0;
  for (const RecordView& record : records) {
    const size_t size = EncodedRecordSize(record);
    if (record.meta.size() > kRecordMetaMax || size > options_.record_bytes_max) {
      return MakeError(absl::StatusCode::kInvalidArgument, "RECORD_TOO_LARGE",
                       absl::StrFormat("a %s record of %d bytes (meta %d): at most %d (meta %d)",
                                       RecordTypeName(record.type), size, record.meta.size(),
                                       options_.record_bytes_max, kRecordMetaMax));
    }
    bytes += size;
    keeps = keeps || !NeverReadAgain(record.type);
  }
  const Lsn first = appended_.load(std::memory_order_relaxed) + 1;
  if (positions != nullptr) {
    for (size_t i = 0; i < records.size(); ++i) positions[i].packed = first + i;
  }
  if (keeps) {
    MutexLock lock(&mu_);
    for (size_t i = 0; i < records.size(); ++i) {
      if (!NeverReadAgain(records[i].type)) Keep(first + i, records[i]);
    }
    ForgetUnpinned();
  }
  written_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  appended_.store(first + records.size() - 1, std::memory_order_release);
  if (wake_) wake_();
  return first;
}

absl::StatusOr<Lsn> MemJournal::AppendReserved(absl::Span<const RecordView> records,
                                               RecordPosition* positions) {
  return Append(records, positions);
}

bool MemJournal::Keeps(RecordType type) const { return !NeverReadAgain(type); }

void MemJournal::Keep(Lsn lsn, const RecordView& record) {
  auto stored = std::make_unique<Stored>();
  stored->record = CopyRecord(record);
  unpinned_bytes_ += BytesOf(stored->record);
  stored_.emplace(lsn, std::move(stored));
  unpinned_.push_back(lsn);
}

void MemJournal::ForgetUnpinned() {
  const Lsn published = published_.load(std::memory_order_relaxed);
  while (unpinned_bytes_ > options_.unpinned_bytes_max && !unpinned_.empty() &&
         unpinned_.front() <= published) {
    const auto it = stored_.find(unpinned_.front());
    unpinned_.pop_front();
    // Unpinned since, or pinned now: then Unpin forgets it.
    if (it == stored_.end() || it->second->pins > 0) continue;
    unpinned_bytes_ -= BytesOf(it->second->record);
    stored_.erase(it);
  }
  // The list also names pinned records: let it not grow with them.
  while (!unpinned_.empty()) {
    const auto it = stored_.find(unpinned_.front());
    if (it != stored_.end() && it->second->pins == 0) break;
    unpinned_.pop_front();
  }
}

bool MemJournal::Commit() {
  const Lsn appended = appended_.load(std::memory_order_acquire);
  if (appended == published_.load(std::memory_order_relaxed)) return false;
  published_.store(appended, std::memory_order_release);
  if (observer_) observer_();
  return true;
}

absl::StatusOr<OwnedRecord> MemJournal::Read(RecordPosition position) const {
  MutexLock lock(&mu_);
  const auto it = stored_.find(position.packed);
  if (it == stored_.end()) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrFormat("no record is kept at %d", position.packed));
  }
  return it->second->record;
}

void MemJournal::Pin(RecordPosition position, uint64_t bytes) {
  MutexLock lock(&mu_);
  const auto it = stored_.find(position.packed);
  // A record that is never read again, or was forgotten: Read() says so, and the accounts need not
  // know.
  if (it == stored_.end()) return;
  if (it->second->pins++ == 0) unpinned_bytes_ -= BytesOf(it->second->record);
  pinned_bytes_ += bytes;
}

void MemJournal::Unpin(RecordPosition position, uint64_t bytes) {
  MutexLock lock(&mu_);
  const auto it = stored_.find(position.packed);
  if (it == stored_.end()) return;
  WHEELPIT_CHECK(it->second->pins > 0, "position %d", position.packed);
  WHEELPIT_CHECK(pinned_bytes_ >= bytes, "%d pinned, %d taken back", pinned_bytes_, bytes);
  pinned_bytes_ -= bytes;
  if (--it->second->pins == 0) stored_.erase(it);
}

absl::StatusOr<std::unique_ptr<CheckpointWriter>> MemJournal::BeginCheckpoint(Lsn) {
  return std::make_unique<NullCheckpointWriter>();
}

JournalUsage MemJournal::Usage() const {
  JournalUsage usage;
  usage.written_bytes = written_bytes_.load(std::memory_order_relaxed);
  MutexLock lock(&mu_);
  usage.live_bytes = pinned_bytes_;
  usage.garbage_bytes = unpinned_bytes_;
  return usage;
}

}  // namespace wheelpit
