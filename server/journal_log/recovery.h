// Reads a journal's folder back: finds the newest valid checkpoint, follows the chain of frames
// behind it, decides at its end between a tail that was never promised (cut) and damage (refused),
// and shows the folds everything that holds.
//
// Engine thread, before anything is appended.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "server/journal/fold.h"
#include "server/journal/journal.h"
#include "server/journal_log/checkpoint_file.h"
#include "server/journal_log/file.h"
#include "server/journal_log/frame.h"
#include "server/journal_log/segment_table.h"

namespace wheelpit {

class LogRecovery {
 public:
  // `repair`: cut at damage instead of refusing.
  LogRecovery(FileSystem* fs, std::string dir, uint64_t log_id, bool repair);

  // Finds segments and checkpoints. Afterwards folds may pin and read what segments() names.
  absl::Status Scan(const std::vector<std::string>& names);
  // In order; all are sealed but the last.
  const std::vector<Segment>& segments() const { return segments_; }

  // Loads the checkpoint and replays.
  absl::Status Replay(absl::Span<Fold* const> folds, const std::function<void(double)>& progress);

  // After Replay:
  const RecoveryResult& result() const { return result_; }
  // Newest first; at most 2.
  const std::vector<CheckpointInfo>& checkpoints() const { return checkpoints_; }
  // Where the next frame goes; segment 0 = a new one.
  uint64_t tail_segment() const { return tail_segment_; }
  uint64_t tail_offset() const { return tail_offset_; }
  uint32_t tail_crc() const { return tail_crc_; }
  uint64_t replayed_bytes() const { return replayed_bytes_; }
  // Last lsn and used bytes of each segment of segments() are known now. These were behind the
  // tail; nothing in them counts. They must go, durably, before anything is appended, or they would
  // stand between the tail and the segment that follows it.
  const std::vector<uint64_t>& dropped_segments() const { return dropped_; }
  // Those that a repair has renamed.
  const std::vector<uint64_t>& set_aside_segments() const { return set_aside_; }

 private:
  absl::Status ScanSegment(uint64_t number);
  absl::Status ChooseCheckpoint(std::vector<Lsn> lsns);
  absl::Status LoadCheckpoint(absl::Span<Fold* const> folds);
  absl::Status FindStart(size_t* index) const;
  absl::Status ReplayFrame(absl::Span<Fold* const> folds, const Segment& segment, uint64_t offset,
                           const FrameHeader& header, absl::string_view body);
  absl::Status ReadSegment(const Segment& segment, std::string* bytes) const;
  bool ContinuesIn(size_t index, Lsn expected) const;
  absl::Status EndOfChain(size_t index, uint64_t offset, Lsn expected, absl::string_view bytes);
  bool CheckpointReaches(Lsn lsn) const;
  absl::Status Damage(const Segment& segment, uint64_t offset, Lsn lsn,
                      const std::string& why) const;
  absl::Status RewriteUnproven() const;
  absl::Status EraseTail(const Segment& segment, uint64_t offset, uint64_t bytes) const;
  absl::Status SetAside(size_t index);

  FileSystem* const fs_;
  const std::string dir_;
  const uint64_t log_id_;
  const uint32_t seed_;
  const bool repair_;
  std::vector<Segment> segments_;
  std::vector<uint32_t>
      first_prev_crc_;  // per segment: what its first frame says of the frame before
  std::vector<CheckpointInfo> checkpoints_;
  std::vector<Lsn> damaged_checkpoints_;
  RecoveryResult result_;
  Lsn synced_lsn_ = 0;
  // Frames of the chain that no frame behind them calls synced, oldest first.
  struct Unproven {
    size_t segment;
    uint64_t offset;
    uint64_t bytes;
    Lsn last_lsn;
  };
  std::deque<Unproven> unproven_;
  uint64_t tail_segment_ = 0;
  uint64_t tail_offset_ = 0;
  uint32_t tail_crc_ = 0;
  uint64_t replayed_bytes_ = 0;
  std::vector<uint64_t> dropped_;
  std::vector<uint64_t> set_aside_;
};

}  // namespace wheelpit
