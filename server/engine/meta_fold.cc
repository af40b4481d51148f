#include "server/engine/meta_fold.h"

#include <utility>

#include "base/status_macros.h"

namespace wheelpit {

// A chunk is the newest EPOCH meta with `at_ms` = the largest time; both only grow, so replaying over it changes nothing.
absl::Status MetaFold::LoadChunk(Lsn, absl::string_view bytes) {
  WHEELPIT_ASSIGN_OR_RETURN(EpochState state, DecodeEpoch(bytes));
  NoteTime(state.at_ms);
  if (state.epoch >= epoch_.epoch) epoch_ = std::move(state);
  return absl::OkStatus();
}

absl::Status MetaFold::Replay(Lsn, RecordPosition, const RecordView& record) {
  NoteTime(MetaTime(record.meta));
  if (record.type != RecordType::kEpoch) return absl::OkStatus();
  WHEELPIT_ASSIGN_OR_RETURN(EpochState state, DecodeEpoch(record.meta));
  if (state.epoch >= epoch_.epoch) epoch_ = std::move(state);
  return absl::OkStatus();
}

absl::Status MetaFold::RecoveryDone(int64_t now_ms) {
  NoteTime(now_ms);
  return absl::OkStatus();
}

bool MetaFold::NextChunk(std::string* bytes, Lsn* as_of) {
  if (!chunk_due_) return false;
  chunk_due_ = false;
  EpochState state = epoch_;
  state.at_ms = largest_at_ms_;
  *bytes = EncodeEpoch(state);
  *as_of = journal_->last_lsn();
  return true;
}

}  // namespace wheelpit
