// The smallest fold: the newest EPOCH, and the largest time that any record holds.
#pragma once

#include <algorithm>
#include <string>

#include "server/engine/record_codec.h"
#include "server/journal/fold.h"
#include "server/journal/journal.h"

namespace wheelpit {

class MetaFold final : public Fold {
 public:
  // `journal` outlives the fold.
  explicit MetaFold(const Journal* journal) : journal_(journal) {}

  FoldId id() const override { return FoldId::kMeta; }
  absl::Status LoadChunk(Lsn as_of, absl::string_view bytes) override;
  absl::Status Replay(Lsn lsn, RecordPosition position, const RecordView& record) override;
  absl::Status RecoveryDone(int64_t now_ms) override;
  void BeginCheckpoint() override { chunk_due_ = true; }
  bool NextChunk(std::string* bytes, Lsn* as_of) override;

  // A record was appended, or an answer given, at this time.
  void NoteTime(int64_t at_ms) { largest_at_ms_ = std::max(largest_at_ms_, at_ms); }
  const EpochState& epoch() const { return epoch_; }
  int64_t largest_at_ms() const { return largest_at_ms_; }

 private:
  const Journal* const journal_;
  EpochState epoch_;
  int64_t largest_at_ms_ = 0;
  bool chunk_due_ = false;
};

}  // namespace wheelpit
