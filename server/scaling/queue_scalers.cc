#include "server/scaling/queue_scalers.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/journal/little_endian.h"
#include "server/scaling/record_codec.h"

namespace wheelpit {
namespace {

constexpr int64_t kSaveMs = 10'000;
constexpr size_t kStatesPerChunk = 4096;
constexpr size_t kRecordsPerAppend = 256;

// Estimates never stand still to the last bit; a record is for what a reader could notice.
bool Moved(double now, double saved) { return std::fabs(now - saved) > 0.01 * std::max(std::fabs(now), std::fabs(saved)); }
bool Moved(const ScalingState& now, const ScalingState& saved) {
  return Moved(now.arrival_rate, saved.arrival_rate) || Moved(now.service_s, saved.service_s) ||
         Moved(now.prior_service_s, saved.prior_service_s) || Moved(now.startup_s, saved.startup_s) ||
         Moved(now.needed_workers, saved.needed_workers);
}

}  // namespace

// Chunk: for each queue u32 length, ScaleMeta.
absl::Status QueueScalers::LoadChunk(Lsn, absl::string_view bytes) {
  while (!bytes.empty()) {
    if (bytes.size() < sizeof(uint32_t) || bytes.size() - sizeof(uint32_t) < LoadLe<uint32_t>(bytes.data())) {
      return MakeError(absl::StatusCode::kDataLoss, "CORRUPT", "checkpoint of the scaling estimates is cut short");
    }
    const size_t size = LoadLe<uint32_t>(bytes.data());
    WHEELPIT_ASSIGN_OR_RETURN(const ScaleRecord record, DecodeScale(bytes.substr(sizeof(uint32_t), size)));
    saved_[record.queue] = record.state;
    bytes.remove_prefix(sizeof(uint32_t) + size);
  }
  return absl::OkStatus();
}

// The newest record of a queue wins. Over a newer chunk an older record is replayed only with all that follow it, so the end is right.
absl::Status QueueScalers::Replay(Lsn, RecordPosition, const RecordView& record) {
  if (record.type != RecordType::kScale) return absl::OkStatus();
  WHEELPIT_ASSIGN_OR_RETURN(const ScaleRecord scale, DecodeScale(record.meta));
  saved_[scale.queue] = scale.state;
  return absl::OkStatus();
}

absl::Status QueueScalers::RecoveryDone(int64_t now_ms) {
  recovered_at_ms_ = now_ms;
  save_due_ms_ = now_ms + kSaveMs;
  return absl::OkStatus();
}

bool QueueScalers::NextChunk(std::string* bytes, Lsn* as_of) {
  if (chunk_next_ == kPassOver) return false;
  bytes->clear();
  auto it = saved_.lower_bound(static_cast<uint32_t>(chunk_next_));
  for (size_t n = 0; n < kStatesPerChunk && it != saved_.end(); ++n, ++it) {
    const std::string meta = EncodeScale({it->first, it->second});
    char size[sizeof(uint32_t)];
    StoreLe(size, static_cast<uint32_t>(meta.size()));
    bytes->append(size, sizeof(size));
    *bytes += meta;
  }
  chunk_next_ = it == saved_.end() ? kPassOver : it->first;
  *as_of = journal_->last_lsn();
  return !bytes->empty();
}

QueueScalers::Entry& QueueScalers::EntryOf(const QueueStats& stats) {
  const auto found = entries_.find(stats.number);
  if (found != entries_.end()) return found->second;
  Entry entry{QueueScaler(stats.config), {}, 0, false};
  if (const auto saved = saved_.find(stats.number); saved != saved_.end()) {
    // From the restart on, not from now: a later look must not prolong the hold.
    entry.scaler.Restore(saved->second, recovered_at_ms_);
    entry.last = saved->second;
  } else {
    entry.last = entry.scaler.State(stats.at_ms);
  }
  return entries_.emplace(stats.number, std::move(entry)).first->second;
}

void QueueScalers::Update(ShardStats* stats) {
  ++round_;
  for (QueueStats& queue : stats->queues) {
    Entry& entry = EntryOf(queue);
    entry.round = round_;
    entry.scaler.Update(queue);
    const ScalingAnswer answer = entry.scaler.Answer(queue.at_ms);
    QueueScaling& out = queue.scaling.emplace();
    out.active = answer.active;
    out.needed_workers = answer.workers;
    out.arrival_rate = answer.inputs.arrival_rate;
    out.service_s = answer.inputs.service_s;
    out.offered_slots = answer.computed.offered_slots;
    out.slots_per_task = answer.computed.slots_per_task;
    out.largest_term = ScalingTermName(answer.largest);
    out.service_time_inflated = answer.service_time_inflated;
    if (answer.service_time_inflated && !entry.inflated) {
      Log(LogLevel::kWarning, "queue_service_time_inflated",
          {{"queue", queue.name}, {"service_seconds", absl::StrCat(answer.inputs.service_s)}});
    }
    entry.inflated = answer.service_time_inflated;
  }
  bool gone = round_ == 1;
  if (entries_.size() > stats->queues.size()) {
    absl::erase_if(entries_, [this](const auto& entry) { return entry.second.round != round_; });
    gone = true;
  }
  if (gone) std::erase_if(saved_, [this](const auto& saved) { return !entries_.contains(saved.first); });
}

void QueueScalers::Save(int64_t now_ms) {
  if (now_ms < save_due_ms_) return;
  save_due_ms_ = now_ms + kSaveMs;
  std::map<uint32_t, ScalingState> moved;
  for (const auto& [number, entry] : entries_) {
    const ScalingState state = entry.scaler.State(now_ms);
    if (Moved(state, entry.last)) moved.emplace(number, state);
    if (moved.size() < kRecordsPerAppend) continue;
    if (!Append(moved)) return;
    moved.clear();
  }
  if (!moved.empty()) Append(moved);
}

// False when the journal takes nothing now (disk low, or failed): the next round tries again.
bool QueueScalers::Append(const std::map<uint32_t, ScalingState>& states) {
  std::vector<std::string> metas;
  metas.reserve(states.size());
  std::vector<RecordView> records;
  for (const auto& [number, state] : states) {
    metas.push_back(EncodeScale({number, state}));
    RecordView& record = records.emplace_back();
    record.type = RecordType::kScale;
    record.meta = metas.back();
  }
  if (!journal_->AppendOngoing(absl::MakeConstSpan(records), nullptr).ok()) return false;
  for (const auto& [number, state] : states) {
    saved_[number] = state;
    entries_.at(number).last = state;
  }
  return true;
}

const ScalingState* QueueScalers::saved(uint32_t queue_number) const {
  const auto it = saved_.find(queue_number);
  return it == saved_.end() ? nullptr : &it->second;
}

}  // namespace wheelpit
