#include "server/journal_log/recovery.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/journal/little_endian.h"
#include "server/journal_log/layout.h"

namespace wheelpit {

LogRecovery::LogRecovery(FileSystem* fs, std::string dir, uint64_t log_id, bool repair)
    : fs_(fs), dir_(std::move(dir)), log_id_(log_id), seed_(FrameSeed(log_id)), repair_(repair) {}

absl::Status LogRecovery::Scan(const std::vector<std::string>& names) {
  std::vector<uint64_t> numbers;
  std::vector<Lsn> checkpoint_lsns;
  for (const std::string& name : names) {
    if (const auto number = NumberInName(name, "seg-", ".log")) numbers.push_back(*number);
    if (const auto lsn = NumberInName(name, "ckpt-", ".bin")) checkpoint_lsns.push_back(*lsn);
  }
  std::sort(numbers.begin(), numbers.end());
  for (const uint64_t number : numbers) WHEELPIT_RETURN_IF_ERROR(ScanSegment(number));
  // What lies before the replayed part is known by what follows it.
  Lsn next_first = 0;
  for (size_t i = segments_.size(); i-- > 0;) {
    if (next_first != 0) segments_[i].last_lsn = next_first - 1;
    if (segments_[i].first_lsn != 0) next_first = segments_[i].first_lsn;
  }
  return ChooseCheckpoint(std::move(checkpoint_lsns));
}

absl::Status LogRecovery::ScanSegment(uint64_t number) {
  Segment segment;
  segment.number = number;
  WHEELPIT_ASSIGN_OR_RETURN(auto file,
                            fs_->Open(JoinPath(dir_, SegmentName(number)), OpenMode::kReadWrite));
  segment.file = std::move(file);
  WHEELPIT_ASSIGN_OR_RETURN(segment.used_bytes, segment.file->Size());
  segment.sealed = true;
  std::string bytes(kFrameHeaderBytes, '\0');
  WHEELPIT_ASSIGN_OR_RETURN(const size_t got, segment.file->ReadAt(0, bytes.size(), bytes.data()));
  uint32_t prev_crc = 0;
  if (got == kFrameHeaderBytes && LoadLe<uint32_t>(bytes.data()) == kFrameMagic) {
    const uint64_t whole = kFrameHeaderBytes + LoadLe<uint32_t>(bytes.data() + 28);
    FrameHeader header;
    if (whole <= segment.used_bytes) {
      bytes.resize(whole);
      WHEELPIT_ASSIGN_OR_RETURN(const size_t n, segment.file->ReadAt(0, whole, bytes.data()));
      bytes.resize(n);
      if (ParseFrame(bytes, static_cast<uint32_t>(number), seed_, &header)) {
        segment.first_lsn = header.first_lsn;
        prev_crc = header.prev_frame_crc;
      }
    }
  }
  segments_.push_back(std::move(segment));
  first_prev_crc_.push_back(prev_crc);
  return absl::OkStatus();
}

absl::Status LogRecovery::ChooseCheckpoint(std::vector<Lsn> lsns) {
  std::sort(lsns.rbegin(), lsns.rend());
  for (const Lsn lsn : lsns) {
    const std::string path = JoinPath(dir_, CheckpointName(lsn));
    WHEELPIT_ASSIGN_OR_RETURN(const auto file, fs_->Open(path, OpenMode::kRead));
    // Only the one that is loaded is read whole first: folds cannot take a half-loaded one back.
    auto info = ReadCheckpointFile(*file, log_id_, nullptr);
    if (info.ok() && info->begin_lsn != lsn) info = absl::DataLossError("its name is of another");
    if (info.ok()) {
      checkpoints_.push_back(*info);
      if (checkpoints_.size() == 2) break;
      continue;
    }
    if (!absl::IsDataLoss(info.status())) return info.status();
    Log(LogLevel::kError, "journal_checkpoint_damaged",
        {{"path", path}, {"error", std::string(info.status().message())}});
    damaged_checkpoints_.push_back(lsn);
  }
  return absl::OkStatus();
}

absl::Status LogRecovery::LoadCheckpoint(absl::Span<Fold* const> folds) {
  if (checkpoints_.empty()) return absl::OkStatus();
  result_.checkpoint_lsn = checkpoints_[0].begin_lsn;
  const std::string path = JoinPath(dir_, CheckpointName(checkpoints_[0].begin_lsn));
  WHEELPIT_ASSIGN_OR_RETURN(const auto file, fs_->Open(path, OpenMode::kRead));
  return ReadCheckpointFile(
             *file, log_id_,
             [&](FoldId id, Lsn as_of, absl::string_view bytes) -> absl::Status {
               for (Fold* fold : folds) {
                 if (fold->id() == id) return fold->LoadChunk(as_of, bytes);
               }
               return MakeError(
                   absl::StatusCode::kFailedPrecondition, "UNKNOWN_FOLD",
                   absl::StrFormat("%s: has state of part %d, which this program does not have",
                                   path, static_cast<int>(id)));
             })
      .status();
}

absl::Status LogRecovery::FindStart(size_t* index) const {
  const Lsn wanted = result_.checkpoint_lsn + 1;
  *index = segments_.size();
  bool any = false;
  for (size_t i = 0; i < segments_.size(); ++i) {
    if (segments_[i].first_lsn == 0) continue;
    any = true;
    if (segments_[i].first_lsn <= wanted) *index = i;
  }
  if (*index < segments_.size()) return absl::OkStatus();
  if (!any) {
    // Nothing readable. Without a promise to the contrary these are new files that nothing was
    // written to yet.
    *index = 0;
    return absl::OkStatus();
  }
  Lsn first = 0;
  for (size_t i = segments_.size(); i-- > 0;) {
    if (segments_[i].first_lsn != 0) first = segments_[i].first_lsn;
  }
  return MakeError(
      absl::StatusCode::kDataLoss, "CORRUPT",
      absl::StrFormat("the journal in %s lacks lsn %d to %d: a segment is missing or its start is "
                      "damaged%s. Nothing was "
                      "changed. Restore a backup of the folder",
                      dir_, wanted, first - 1,
                      !damaged_checkpoints_.empty() ? ", and a checkpoint is damaged" : ""));
}

absl::Status LogRecovery::ReadSegment(const Segment& segment, std::string* bytes) const {
  WHEELPIT_ASSIGN_OR_RETURN(const uint64_t size, segment.file->Size());
  bytes->resize(size);
  WHEELPIT_ASSIGN_OR_RETURN(const size_t got, segment.file->ReadAt(0, size, bytes->data()));
  bytes->resize(got);
  return absl::OkStatus();
}

absl::Status LogRecovery::ReplayFrame(absl::Span<Fold* const> folds, const Segment& segment,
                                      uint64_t offset, const FrameHeader& header,
                                      absl::string_view body) {
  Lsn lsn = header.first_lsn;
  absl::Status replayed =
      ForEachRecord(body, header.count, [&](size_t at, const RecordView& record) -> absl::Status {
        if (lsn > result_.checkpoint_lsn) {
          const RecordPosition position =
              MakePosition(segment.number, offset + kFrameHeaderBytes + at);
          for (Fold* fold : folds) WHEELPIT_RETURN_IF_ERROR(fold->Replay(lsn, position, record));
          ++result_.replayed_records;
        }
        ++lsn;
        return absl::OkStatus();
      });
  if (replayed.ok()) return replayed;
  return absl::Status(replayed.code(),
                      absl::StrFormat("segment %d, offset %d, lsn %d: %s", segment.number, offset,
                                      lsn, replayed.message()));
}

bool LogRecovery::ContinuesIn(size_t index, Lsn expected) const {
  return index < segments_.size() && segments_[index].first_lsn == expected &&
         first_prev_crc_[index] == tail_crc_;
}

absl::Status LogRecovery::Replay(absl::Span<Fold* const> folds,
                                 const std::function<void(double)>& progress) {
  WHEELPIT_RETURN_IF_ERROR(LoadCheckpoint(folds));
  size_t index = 0;
  WHEELPIT_RETURN_IF_ERROR(FindStart(&index));
  const size_t first_index = index;
  Lsn expected = index < segments_.size() && segments_[index].first_lsn != 0
                     ? segments_[index].first_lsn
                     : result_.checkpoint_lsn + 1;
  bool chained = false;
  std::string bytes;
  for (; index < segments_.size(); ++index) {
    Segment& segment = segments_[index];
    WHEELPIT_RETURN_IF_ERROR(ReadSegment(segment, &bytes));
    uint64_t offset = 0;
    FrameHeader header;
    while (ParseFrame(absl::string_view(bytes).substr(offset),
                      static_cast<uint32_t>(segment.number), seed_, &header) &&
           header.first_lsn == expected && (!chained || header.prev_frame_crc == tail_crc_)) {
      WHEELPIT_RETURN_IF_ERROR(
          ReplayFrame(folds, segment, offset, header,
                      absl::string_view(bytes).substr(offset + kFrameHeaderBytes, header.bytes)));
      synced_lsn_ = std::max(synced_lsn_, header.synced_lsn);
      while (!unproven_.empty() && unproven_.front().last_lsn <= synced_lsn_) unproven_.pop_front();
      unproven_.push_back({index, offset, kFrameHeaderBytes + header.bytes, expected + header.count - 1});
      if (expected + header.count > result_.checkpoint_lsn + 1)
        replayed_bytes_ += FrameSpace(header.bytes);
      expected += header.count;
      tail_crc_ = header.crc;
      chained = true;
      offset += FrameSpace(header.bytes);
      // The padding of the last frame may be missing; what follows still goes to the aligned place.
      if (offset > bytes.size()) bytes.resize(offset);
    }
    segment.used_bytes = offset;
    segment.last_lsn = expected - 1;
    tail_segment_ = segment.number;
    tail_offset_ = offset;
    if (progress)
      progress(static_cast<double>(index + 1 - first_index) /
               static_cast<double>(segments_.size() - first_index));
    if (chained && ContinuesIn(index + 1, expected)) continue;
    WHEELPIT_RETURN_IF_ERROR(EndOfChain(index, offset, expected, bytes));
    break;
  }
  if (segments_.empty()) WHEELPIT_RETURN_IF_ERROR(EndOfChain(0, 0, expected, ""));
  WHEELPIT_RETURN_IF_ERROR(RewriteUnproven());
  result_.last_lsn = expected - 1;
  for (const Lsn lsn : damaged_checkpoints_) {
    const std::string name = CheckpointName(lsn);
    WHEELPIT_RETURN_IF_ERROR(
        fs_->Rename(JoinPath(dir_, name), JoinPath(dir_, absl::StrCat("damaged-", name))));
  }
  return absl::OkStatus();
}

// How much of `bytes` was written, as far as one can tell: up to the last valid frame, or as much as a frame at the start that does
// not verify says of itself.
static uint64_t WrittenBytes(absl::string_view bytes, const FrameScan& scan, uint64_t segment) {
  if (scan.end != 0 || bytes.size() < kFrameHeaderBytes) return scan.end;
  if (LoadLe<uint32_t>(bytes.data()) != kFrameMagic || LoadLe<uint32_t>(bytes.data() + 4) != static_cast<uint32_t>(segment)) return 0;
  return std::min<uint64_t>(FrameSpace(LoadLe<uint32_t>(bytes.data() + 28)), bytes.size());
}

// A place where no frame continues the chain. Every valid frame from here on was written later than
// what is missing here; if one of them says that `expected` was synced then, the missing bytes were
// promised.
absl::Status LogRecovery::EndOfChain(size_t index, uint64_t offset, Lsn expected,
                                     absl::string_view bytes) {
  Lsn promised = checkpoints_.empty() ? 0 : checkpoints_[0].end_lsn;
  promised = std::max(promised, synced_lsn_);
  if (segments_.empty()) {
    if (promised < expected) return absl::OkStatus();
    return MakeError(
        absl::StatusCode::kDataLoss, "CORRUPT",
        absl::StrFormat(
            "%s has a checkpoint up to lsn %d and no segment: restore a backup of the folder", dir_,
            promised));
  }
  const Segment& segment = segments_[index];
  FrameScan scan = ScanFrames(bytes.substr(offset), static_cast<uint32_t>(segment.number), seed_);
  promised = std::max(promised, scan.synced_lsn);
  // Of what may lie there at most this much was written behind the chain's end.
  uint64_t cut = WrittenBytes(bytes.substr(offset), scan, segment.number);
  const uint64_t cut_here = cut;
  std::string later;
  for (size_t i = index + 1; i < segments_.size(); ++i) {
    WHEELPIT_RETURN_IF_ERROR(ReadSegment(segments_[i], &later));
    scan = ScanFrames(later, static_cast<uint32_t>(segments_[i].number), seed_);
    promised = std::max(promised, scan.synced_lsn);
    cut += WrittenBytes(later, scan, segments_[i].number);
  }
  if (promised >= expected) {
    if (!repair_) {
      return Damage(segment, offset, expected,
                    absl::StrFormat("records up to lsn %d were promised to be safe", promised));
    }
    if (CheckpointReaches(expected)) {
      return Damage(segment, offset, expected, "the checkpoint needs what is lost here");
    }
    WHEELPIT_RETURN_IF_ERROR(SetAside(index));
  }
  WHEELPIT_RETURN_IF_ERROR(
      EraseTail(segment, offset, promised >= expected ? bytes.size() - offset : cut_here));
  result_.cut_bytes = cut;
  if (cut > 0) {
    Log(LogLevel::kWarning, "journal_tail_cut",
        {{"segment", absl::StrCat(segment.number)},
         {"offset", absl::StrCat(offset)},
         {"lsn", absl::StrCat(expected)},
         {"bytes", absl::StrCat(cut)}});
  }
  if (promised < expected) {
    for (size_t i = index + 1; i < segments_.size(); ++i) dropped_.push_back(segments_[i].number);
  }
  segments_.resize(index + 1);
  return absl::OkStatus();
}

bool LogRecovery::CheckpointReaches(Lsn lsn) const {
  return !checkpoints_.empty() && checkpoints_[0].end_lsn >= lsn;
}

absl::Status LogRecovery::Damage(const Segment& segment, uint64_t offset, Lsn lsn,
                                 const std::string& why) const {
  // Where the checkpoint tells of tasks whose records would be gone, a cut journal is none.
  const std::string rescue =
      CheckpointReaches(lsn)
          ? "; --journal_repair cannot help, since the checkpoint tells of records after the damage"
          : absl::StrFormat(
                ", or start once with --journal_repair: that keeps everything before lsn %d, loses "
                "the rest, and sets its files aside as damaged-*",
                lsn);
  return MakeError(absl::StatusCode::kDataLoss, "CORRUPT",
                   absl::StrFormat("journal damaged: %s, segment %d, offset %d: the frame of lsn "
                                   "%d does not verify, but %s. Nothing was "
                                   "changed. Restore a backup of %s%s",
                                   JoinPath(dir_, SegmentName(segment.number)), segment.number,
                                   offset, lsn, why, dir_, rescue));
}

// A sync that failed in the process before may have left bytes that the system shows but no longer means to write. Written once
// more they are dirty again, and the sync that follows recovery covers them.
absl::Status LogRecovery::RewriteUnproven() const {
  std::string bytes;
  for (const Unproven& frame : unproven_) {
    if (frame.segment >= segments_.size()) continue;
    File* const file = segments_[frame.segment].file.get();
    bytes.resize(frame.bytes);
    WHEELPIT_ASSIGN_OR_RETURN(const size_t got, file->ReadAt(frame.offset, frame.bytes, bytes.data()));
    const absl::string_view piece = absl::string_view(bytes).substr(0, got);
    WHEELPIT_RETURN_IF_ERROR(file->WriteAt(frame.offset, absl::MakeConstSpan(&piece, 1)));
  }
  return absl::OkStatus();
}

// A frame that was cut must never come back: a new one of the same bytes in front of it would join
// it to the chain again.
absl::Status LogRecovery::EraseTail(const Segment& segment, uint64_t offset, uint64_t bytes) const {
  if (bytes == 0) return absl::OkStatus();
  const std::string zeros(bytes, '\0');
  WHEELPIT_RETURN_IF_ERROR(segment.file->WriteAt(offset, {absl::string_view(zeros)}));
  return segment.file->SyncData();
}

// Repair: a copy of the damaged segment and all later ones keep their bytes under other names.
absl::Status LogRecovery::SetAside(size_t index) {
  const std::string damaged =
      JoinPath(dir_, absl::StrCat("damaged-", SegmentName(segments_[index].number)));
  std::string bytes;
  WHEELPIT_RETURN_IF_ERROR(ReadSegment(segments_[index], &bytes));
  WHEELPIT_ASSIGN_OR_RETURN(const auto copy, fs_->Open(damaged, OpenMode::kCreate));
  WHEELPIT_RETURN_IF_ERROR(copy->WriteAt(0, {absl::string_view(bytes)}));
  WHEELPIT_RETURN_IF_ERROR(copy->SyncData());
  WHEELPIT_RETURN_IF_ERROR(fs_->SyncDir(dir_));
  for (size_t i = index + 1; i < segments_.size(); ++i) {
    const std::string name = SegmentName(segments_[i].number);
    WHEELPIT_RETURN_IF_ERROR(
        fs_->Rename(JoinPath(dir_, name), JoinPath(dir_, absl::StrCat("damaged-", name))));
    set_aside_.push_back(segments_[i].number);
  }
  Log(LogLevel::kError, "journal_repaired",
      {{"segment", absl::StrCat(segments_[index].number)}, {"copy", damaged}});
  return fs_->SyncDir(dir_);
}

}  // namespace wheelpit
