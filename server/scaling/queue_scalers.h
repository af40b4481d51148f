// A scaler for each queue of a shard, and the fold that carries what they measured over a restart.
//
//   queue->SetStatsCompleter([&](ShardStats* stats) { scalers.Update(stats); });
//   scalers.Save(now);                       // about once a second
//
// Engine thread. SCALE records are written behind: nothing waits for them, and losing the last ten seconds of them costs only a
// slightly older estimate.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "server/journal/fold.h"
#include "server/journal/journal.h"
#include "server/scaling/queue_scaler.h"

namespace wheelpit {

class QueueScalers final : public Fold {
 public:
  // `journal` outlives it.
  explicit QueueScalers(Journal* journal) : journal_(journal) {}

  FoldId id() const override { return FoldId::kScaling; }
  absl::Status LoadChunk(Lsn as_of, absl::string_view bytes) override;
  absl::Status Replay(Lsn lsn, RecordPosition position, const RecordView& record) override;
  absl::Status RecoveryDone(int64_t now_ms) override;
  void BeginCheckpoint() override { chunk_next_ = 0; }
  bool NextChunk(std::string* bytes, Lsn* as_of) override;

  // Measures every queue of `stats` and fills in its `scaling`. Queues that are not there are forgotten.
  void Update(ShardStats* stats);
  // Every 10 s: appends a SCALE record for each queue whose figures moved.
  void Save(int64_t now_ms);

  // What is journaled of the queue; null if nothing.
  const ScalingState* saved(uint32_t queue_number) const;

 private:
  struct Entry {
    QueueScaler scaler;
    ScalingState last;  // what the journal, or the start, says
    uint64_t round = 0;
    bool inflated = false;  // as last told of
  };
  Entry& EntryOf(const QueueStats& stats);
  bool Append(const std::map<uint32_t, ScalingState>& states);

  static constexpr uint64_t kPassOver = UINT64_MAX;

  Journal* const journal_;
  absl::flat_hash_map<uint32_t, Entry> entries_;  // by queue number
  std::map<uint32_t, ScalingState> saved_;        // by queue number, as journaled
  uint64_t round_ = 0;
  int64_t recovered_at_ms_ = 0;
  int64_t save_due_ms_ = 0;
  uint64_t chunk_next_ = kPassOver;  // the next queue number to take
};

}  // namespace wheelpit
