// A fold: the deterministic reader that turns the journal's records into state. No clock, no
// chance, no I/O inside.
//
// Recovery calls LoadChunk for each chunk of the newest checkpoint, then Replay for each later
// record in lsn order, then RecoveryDone. Afterwards the same state goes on live. A checkpoint is
// fuzzy: chunks are taken between batches and each says up to which lsn it is complete, so a fold
// must apply a replayed record to a part of its state only if lsn > that part's as_of.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/journal/record.h"

namespace wheelpit {

// Values are on disk.
enum class FoldId : uint8_t { kMeta = 0, kQueue = 1, kCounter = 2, kScaling = 3 };

// Engine thread.
class Fold {
 public:
  virtual ~Fold() = default;
  virtual FoldId id() const = 0;

  virtual absl::Status LoadChunk(Lsn as_of, absl::string_view bytes) = 0;
  virtual absl::Status Replay(Lsn lsn, RecordPosition position, const RecordView& record) = 0;
  // `now_ms`: aggregator time at which the process goes on (never before a stored time).
  virtual absl::Status RecoveryDone(int64_t now_ms) = 0;

  // Begins a pass over the state for a checkpoint; a pass under way is dropped.
  virtual void BeginCheckpoint() = 0;
  // Takes the next chunk (about 400 KB, well under 1 ms). `*as_of` = the last record that the chunk
  // reflects: it may be appended but not yet durable. False when the pass is over.
  virtual bool NextChunk(std::string* bytes, Lsn* as_of) = 0;
};

}  // namespace wheelpit
