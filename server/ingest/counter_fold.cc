#include "server/ingest/counter_fold.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/siphash.h"
#include "base/status_macros.h"
#include "base/varint.h"
#include "server/ingest/counter_fold_impl.h"
#include "server/ingest/families.h"

namespace wheelpit {

using ReporterState = SeriesStore::ReporterState;

namespace {
// What came so long ago has no slot in the ring of seconds any more.
constexpr int64_t kShortRingMs = 64'000;
}  // namespace

std::unique_ptr<CounterFold> CounterFold::Create(SeriesStore* store) { return std::make_unique<CounterFoldImpl>(store); }

uint64_t StableKeyHash(absl::string_view family, absl::string_view packed_labels) {
  std::string key;
  PutBytes(family, &key);
  key.append(packed_labels.data(), packed_labels.size());
  return SipHash64(SipKey{}, key);
}

void ReportEffect::clear() {
  defined.clear();
  counters.clear();
  counter_deltas.clear();
  fractions.clear();
  fraction_deltas.clear();
  gauges.clear();
  gauge_values.clear();
  gauge_removes.clear();
  subs.clear();
  cumulative.clear();
  applies_to_reporter = true;
}

CounterFoldImpl::CounterFoldImpl(SeriesStore* store) : store_(store), queue_series_(store) {}

// --- live ---

void CounterFoldImpl::ApplyReport(Lsn lsn, const ReportEffect& effect) {
  Reporter* const reporter = reporters_.Find(effect.header.reporter_number);
  WHEELPIT_CHECK(reporter != nullptr, "lsn %d: reporter %d", lsn, effect.header.reporter_number);
  SeriesStore::WriteLock lock(store_);
  for (const SeriesId id : effect.defined) {
    PublishSeries(id, effect.header.at_ms);
    journal_ids_folded_ = std::max(journal_ids_folded_, store_->at(id).journal_id + 1);
  }
  // A new incarnation begins before its samples, an end comes after the last of them.
  if (effect.applies_to_reporter && effect.header.hello) WithdrawGauges(reporter, lsn, effect.header.at_ms);
  ApplySamples(effect, reporter);
  if (effect.applies_to_reporter) {
    ApplyReporter(effect, reporter);
    if (effect.header.goodbye) WithdrawGauges(reporter, lsn, effect.header.at_ms);
  }
  folded_lsn_ = lsn;
  last_at_ms_ = std::max(last_at_ms_, effect.header.at_ms);
}

void CounterFoldImpl::PublishSeries(SeriesId id, int64_t at_ms) {
  if (recovered_ && !store_->at(id).published) probe_.series_created->Add();
  store_->Publish(id, at_ms);
}

void CounterFoldImpl::ApplySamples(const ReportEffect& effect, Reporter* reporter) {
  const ReportHeader& header = effect.header;
  const int64_t now = header.at_ms;
  const int64_t event = now - header.age_ms;
  const RingTime time(event, header.interval_ms, now);
  uint64_t late = 0;
  if (!effect.counters.empty()) store_->AddToCounters(effect.counters, effect.counter_deltas, time, now, &late);
  for (size_t i = 0; i < effect.fractions.size(); ++i) {
    store_->AddFraction(effect.fractions[i], effect.fraction_deltas[i], time, now);
  }
  for (const ReportEffect::Sub& sub : effect.subs) {
    for (size_t k = 0; k < sub.deltas.size(); ++k) {
      const auto before_end = static_cast<int64_t>(sub.deltas.size() - 1 - k);
      const uint64_t delta = sub.deltas[k];
      store_->AddToCounters({&sub.id, 1}, {&delta, 1}, RingTime(event - before_end * 1000, 0, now), now, &late);
    }
  }
  for (size_t i = 0; i < effect.gauges.size(); ++i) {
    if (store_->SetGauge(effect.gauges[i], reporter->number, effect.gauge_values[i], now)) {
      reporter->gauges.push_back(effect.gauges[i]);
    }
  }
  for (const SeriesId id : effect.gauge_removes) store_->RemoveGauge(id, reporter->number, now);
  if (late > 0) probe_.late_total_only->Add(late);
  if (recovered_ && now - event >= kShortRingMs) {
    uint64_t sum = 0;
    for (const uint64_t delta : effect.counter_deltas) sum += delta;
    probe_.late_ring->Add(sum - std::min(sum, late));
  }
  if (!recovered_) {
    // Live, the stream attaches its reporter once per series.
    for (const SeriesId id : effect.counters) store_->AttachReporter(id, reporter->number);
    for (const SeriesId id : effect.fractions) store_->AttachReporter(id, reporter->number);
    for (const ReportEffect::Sub& sub : effect.subs) store_->AttachReporter(sub.id, reporter->number);
  }
}

void CounterFoldImpl::ApplyReporter(const ReportEffect& effect, Reporter* reporter) {
  const ReportHeader& header = effect.header;
  if (header.hello) {
    reporter->folded = {header.incarnation, header.seq, header.seq == 0};
    reporter->cumulative_folded.reset();
    if (!recovered_) reporter->content.Clear();
  } else if (!header.goodbye) {
    reporter->folded.incarnation = header.incarnation;
    reporter->folded.seq = header.seq;
    if (!recovered_) reporter->content.Set(header.seq, header.content_crc);
    reporter->interval_ms = header.interval_ms;
  }
  for (const ReportEffect::Cumulative& c : effect.cumulative) {
    if (reporter->cumulative_folded == nullptr) reporter->cumulative_folded = std::make_unique<CumulativeValues>();
    (*reporter->cumulative_folded)[c.key_hash] = c.value;
  }
  reporter->heard_ms = std::max(reporter->heard_ms, header.at_ms);
  if (header.goodbye) {
    SetReporterState(reporter, header.drained ? ReporterState::kDrained : ReporterState::kGone, header.at_ms);
  } else {
    SetReporterState(reporter, ReporterState::kLive, header.at_ms);
  }
}

int64_t CounterFoldImpl::LiveUntil(const Reporter& reporter) const {
  return reporter.heard_ms + std::max(live_min_ms_, 3 * std::min(reporter.interval_ms, kReportIntervalMaxMs));
}

void CounterFoldImpl::SetReporterState(Reporter* reporter, ReporterState state, int64_t at_ms) {
  reporter->state = state;
  if (state == ReporterState::kLive) {
    store_->SetReporter(reporter->number, state, LiveUntil(*reporter));
  } else {
    reporter->left_ms = at_ms;
    store_->SetReporter(reporter->number, state, at_ms);
  }
}

void CounterFoldImpl::WithdrawGauges(Reporter* reporter, Lsn lsn, int64_t at_ms) {
  const auto withdraw = [&](const std::vector<SeriesId>& ids) {
    for (const SeriesId id : ids) {
      const Series* s = store_->find(id);
      if (s != nullptr && !s->gone && Applies(lsn, id)) store_->RemoveGauge(id, reporter->number, at_ms);
    }
  };
  withdraw(reporter->gauges);
  if (recovered_) {
    reporter->gauges.clear();
  } else if (const auto it = loaded_gauges_.find(reporter->number); it != loaded_gauges_.end()) {
    withdraw(it->second);
  }
}

void CounterFoldImpl::ForgetAppended(absl::Span<const SeriesId> series) {
  for (const SeriesId id : series) {
    const Series& s = store_->at(id);
    forgetting_[{s.family, std::string(s.labels().packed())}] = id;
    store_->Detach(id);
  }
}

bool CounterFoldImpl::IsForgetting(SeriesId id) const {
  if (forgetting_.empty()) return false;
  const Series& s = store_->at(id);
  return forgetting_.contains({s.family, std::string(s.labels().packed())});
}

void CounterFoldImpl::ApplyForget(Lsn lsn, absl::Span<const SeriesId> series, absl::Span<const ReporterNumber> reporters,
                                  int64_t at_ms) {
  SeriesStore::WriteLock lock(store_);
  for (const SeriesId id : series) {
    const Series& s = store_->at(id);
    forgetting_.erase({s.family, std::string(s.labels().packed())});
  }
  RemoveSeries(series, at_ms);
  for (const ReporterNumber number : reporters) {
    reporters_.Remove(number);
    store_->SetReporter(number, ReporterState::kForgotten, at_ms);
  }
  folded_lsn_ = lsn;
  last_at_ms_ = std::max(last_at_ms_, at_ms);
}

void CounterFoldImpl::RemoveSeries(absl::Span<const SeriesId> series, int64_t at_ms) {
  for (const SeriesId id : series) {
    for (const ReporterNumber number : store_->at(id).feeders) {
      Reporter* reporter = reporters_.Find(number);
      if (reporter != nullptr && reporter->series > 0) --reporter->series;
    }
  }
  store_->Remove(series, at_ms);
}

SeriesId CounterFoldImpl::FindForFold(uint32_t family, const Labels& labels) const {
  if (!forgetting_.empty()) {
    const auto it = forgetting_.find({family, PackLabels(labels)});
    if (it != forgetting_.end()) return it->second;
  }
  return store_->Find(family, labels);
}

void CounterFoldImpl::OnQueueEvent(Lsn lsn, const QueueEvent& event) {
  SeriesStore::WriteLock lock(store_);
  folded_lsn_ = lsn;
  last_at_ms_ = std::max(last_at_ms_, event.at_ms);
  if (event.kind == QueueEventKind::kQueueCreated) {
    const size_t made = queue_series_.AddQueue(event.queue, event.at_ms);
    if (recovered_) probe_.series_created->Add(made);
    return;
  }
  if (event.kind == QueueEventKind::kQueueDeleted) {
    std::vector<SeriesId> ids = queue_series_.TakeQueue(event.queue, event.at_ms);
    ids.erase(std::remove_if(ids.begin(), ids.end(), [&](SeriesId id) { return !Applies(lsn, id); }), ids.end());
    RemoveSeries(ids, event.at_ms);
    return;
  }
  const SeriesId id = queue_series_.Of(event);
  if (id != 0 && Applies(lsn, id)) {
    store_->AddToCounter(id, event.n, RingTime(event.at_ms, 0, event.at_ms), event.at_ms);
  }
  if (!event.counts.empty()) CountSubmitted(lsn, event);
}

// What a submit counts besides its task. A name that may not be counted is left out: the task itself was accepted.
void CounterFoldImpl::CountSubmitted(Lsn lsn, const QueueEvent& event) {
  for (const CountedSeries& counted : event.counts) {
    Family family;
    family.name = counted.name;
    family.type = MetricType::kCounter;
    absl::Status status = CheckReportName(*store_, family.name);
    if (status.ok()) status = store_->CheckLabels(counted.labels.pairs(), family.type);
    if (!status.ok()) {
      IngestProbe::Rejected(ErrorReason(status))->Add();
      continue;
    }
    const auto index = store_->FindOrAddFamily(family, event.at_ms, /*limited=*/true);
    if (!index.ok()) {
      IngestProbe::Rejected(ErrorReason(index.status()))->Add();
      continue;
    }
    SeriesId id = FindForFold(*index, counted.labels);
    if (id == 0) {
      const auto made = store_->FindOrCreate(*index, counted.labels, event.at_ms, /*limited=*/true);
      if (!made.ok()) {
        IngestProbe::Rejected(ErrorReason(made.status()))->Add();
        continue;
      }
      id = *made;
    }
    PublishSeries(id, event.at_ms);
    store_->at(id).queue_fed = true;
    if (Applies(lsn, id)) store_->AddToCounter(id, event.n, RingTime(event.at_ms, 0, event.at_ms), event.at_ms);
  }
}

// --- history ---

void CounterFoldImpl::SetHistory(uint64_t history_id, int64_t history_start_ms) {
  if (history_id_ != 0 && history_id != history_id_) Reset(history_start_ms);
  history_id_ = history_id;
  history_start_ms_ = history_start_ms;
  probe_.history_start->Set(static_cast<double>(history_start_ms) / 1000);
  SeriesStore::WriteLock lock(store_);
  store_->SetHistoryStart(history_start_ms);
}

// Every count begins anew; the queues themselves stay.
void CounterFoldImpl::Reset(int64_t at_ms) {
  SeriesStore::WriteLock lock(store_);
  const std::vector<std::string> queues = queue_series_.QueuesInStore();
  std::vector<SeriesId> all;
  for (SeriesId id = 1; id < store_->id_end(); ++id) {
    const Series* s = store_->find(id);
    if (s != nullptr && !s->gone) all.push_back(id);
  }
  store_->Remove(all, at_ms);
  for (const auto& [number, reporter] : reporters_.by_number()) {
    store_->SetReporter(number, ReporterState::kForgotten, at_ms);
  }
  reporters_.Clear();
  journal_series_.clear();
  loaded_gauges_.clear();
  queue_series_.Clear();
  for (const std::string& queue : queues) queue_series_.AddQueue(queue, at_ms);
}

// --- replay ---

absl::Status CounterFoldImpl::Replay(Lsn lsn, RecordPosition, const RecordView& record) {
  switch (record.type) {
    case RecordType::kReport:
      return ReplayReport(lsn, record);
    case RecordType::kForget:
      return ReplayForget(lsn, record);
    case RecordType::kEpoch:
      folded_lsn_ = lsn;
      return ReplayHistory(record);
    default:
      return absl::OkStatus();
  }
}

absl::Status CounterFoldImpl::ReplayHistory(const RecordView& record) {
  WHEELPIT_ASSIGN_OR_RETURN(const HistoryMark mark, DecodeHistory(record));
  last_at_ms_ = std::max(last_at_ms_, mark.at_ms);
  SetHistory(mark.history_id, mark.history_start_ms);
  return absl::OkStatus();
}

void CounterFoldImpl::SetAsOf(SeriesId id, Lsn as_of) {
  if (id >= series_as_of_.size()) series_as_of_.resize(id + size_t{1}, 0);
  series_as_of_[id] = as_of;
}

absl::Status CounterFoldImpl::ReplayReport(Lsn lsn, const RecordView& record) {
  WHEELPIT_ASSIGN_OR_RETURN(const DecodedReport report, DecodeReport(record));
  ReportEffect effect;
  effect.header = report.header;
  Reporter* reporter = reporters_.Find(report.header.reporter_number);
  if (reporter == nullptr) reporter = &reporters_.Restore(report.header.reporter_number, report.header.reporter);
  effect.applies_to_reporter = lsn > reporter->as_of;
  {
    SeriesStore::WriteLock lock(store_);
    ReplayDefinitions(lsn, report, &effect);
  }
  WHEELPIT_RETURN_IF_ERROR(ResolveColumns(lsn, report.columns, &effect));
  ApplyReport(lsn, effect);
  return absl::OkStatus();
}

void CounterFoldImpl::ReplayDefinitions(Lsn lsn, const DecodedReport& report, ReportEffect* effect) {
  for (const NewSeries& series : report.definitions.series) {
    next_journal_id_ = std::max(next_journal_id_, series.id + 1);
    Family family = DefaultFamily(series.family);
    for (const Family& defined : report.definitions.families) {
      if (defined.name == series.family) family = defined;
    }
    // A conflict is with what the checkpoint holds of a later time: this series was gone by then, and its samples with it.
    const auto index = store_->FindOrAddFamily(family, report.header.at_ms, /*limited=*/false);
    if (!index.ok()) continue;
    const auto id = store_->FindOrCreate(*index, series.labels, report.header.at_ms, /*limited=*/false);
    if (!id.ok()) continue;
    journal_series_[series.id] = *id;
    if (!Applies(lsn, *id)) continue;
    store_->at(*id).journal_id = series.id;
    effect->defined.push_back(*id);
  }
}

absl::Status CounterFoldImpl::ResolveSeries(Lsn lsn, JournalSeriesId journal_id, SeriesId* id) const {
  *id = 0;
  const auto it = journal_series_.find(journal_id);
  if (it != journal_series_.end() && store_->find(it->second) != nullptr && !store_->at(it->second).gone) {
    if (Applies(lsn, it->second)) *id = it->second;
    return absl::OkStatus();
  }
  // It expired before the checkpoint came to its place.
  if (lsn <= chunks_as_of_max_) return absl::OkStatus();
  return MakeError(absl::StatusCode::kDataLoss, "CORRUPT",
                   absl::StrFormat("record %d counts series %d, which no record defines", lsn, journal_id));
}

absl::Status CounterFoldImpl::ResolveColumns(Lsn lsn, const ReportColumns& columns, ReportEffect* effect) {
  SeriesId id;
  for (size_t i = 0; i < columns.counter_ids.size(); ++i) {
    WHEELPIT_RETURN_IF_ERROR(ResolveSeries(lsn, columns.counter_ids[i], &id));
    if (id == 0) continue;
    effect->counters.push_back(id);
    effect->counter_deltas.push_back(columns.counter_deltas[i]);
  }
  for (size_t i = 0; i < columns.fraction_ids.size(); ++i) {
    WHEELPIT_RETURN_IF_ERROR(ResolveSeries(lsn, columns.fraction_ids[i], &id));
    if (id == 0) continue;
    effect->fractions.push_back(id);
    effect->fraction_deltas.push_back(columns.fraction_deltas[i]);
  }
  for (size_t i = 0; i < columns.gauge_ids.size(); ++i) {
    WHEELPIT_RETURN_IF_ERROR(ResolveSeries(lsn, columns.gauge_ids[i], &id));
    if (id == 0) continue;
    effect->gauges.push_back(id);
    effect->gauge_values.push_back(columns.gauge_values[i]);
  }
  for (const JournalSeriesId journal_id : columns.gauge_removes) {
    WHEELPIT_RETURN_IF_ERROR(ResolveSeries(lsn, journal_id, &id));
    if (id != 0) effect->gauge_removes.push_back(id);
  }
  for (const SubSample& sub : columns.subs) {
    WHEELPIT_RETURN_IF_ERROR(ResolveSeries(lsn, sub.id, &id));
    if (id != 0) effect->subs.push_back({id, sub.deltas});
  }
  // These belong to the reporter: gated with it, by the key that outlives the series.
  const auto add_cumulative = [&](JournalSeriesId journal_id, CumulativeValue value) {
    const auto it = journal_series_.find(journal_id);
    if (it == journal_series_.end() || store_->find(it->second) == nullptr || store_->at(it->second).gone) return;
    const Series& s = store_->at(it->second);
    effect->cumulative.push_back({StableKeyHash(store_->family_at(s.family).family.name, s.labels().packed()), value});
  };
  for (size_t i = 0; i < columns.cumulative_ids.size(); ++i) {
    add_cumulative(columns.cumulative_ids[i], {0, columns.cumulative_values[i], true});
  }
  for (size_t i = 0; i < columns.cumulative_integral_ids.size(); ++i) {
    add_cumulative(columns.cumulative_integral_ids[i], {columns.cumulative_integral_values[i], 0, false});
  }
  return absl::OkStatus();
}

absl::Status CounterFoldImpl::ReplayForget(Lsn lsn, const RecordView& record) {
  WHEELPIT_ASSIGN_OR_RETURN(const ForgetRecord forget, DecodeForget(record));
  std::vector<SeriesId> series;
  for (const NewSeries& expired : forget.series) {
    const auto family = store_->FindFamily(expired.family);
    if (!family.has_value()) continue;
    const SeriesId id = store_->Find(*family, expired.labels);
    if (id != 0 && Applies(lsn, id)) series.push_back(id);
  }
  std::vector<ReporterNumber> reporters;
  for (const ReporterNumber number : forget.reporters) {
    const Reporter* reporter = reporters_.Find(number);
    if (reporter != nullptr && lsn > reporter->as_of) reporters.push_back(number);
  }
  ApplyForget(lsn, series, reporters, forget.at_ms);
  return absl::OkStatus();
}

absl::Status CounterFoldImpl::RecoveryDone(int64_t now_ms) {
  SeriesStore::WriteLock lock(store_);
  for (const std::string& queue : queue_series_.QueuesInStore()) queue_series_.AddQueue(queue, now_ms);
  for (const auto& [number, reporter] : reporters_.by_number()) reporter->series = 0;
  for (SeriesId id = 1; id < store_->id_end(); ++id) {
    const Series* s = store_->find(id);
    if (s == nullptr || s->gone) continue;
    for (const ReporterNumber number : s->feeders) {
      if (Reporter* reporter = reporters_.Find(number); reporter != nullptr) ++reporter->series;
    }
  }
  for (const auto& [number, reporter] : reporters_.by_number()) {
    reporter->appended = reporter->folded;
    if (reporter->cumulative_folded != nullptr) {
      reporter->cumulative_appended = std::make_unique<CumulativeValues>(*reporter->cumulative_folded);
    }
    if (const auto it = loaded_gauges_.find(number); it != loaded_gauges_.end()) {
      reporter->gauges.insert(reporter->gauges.end(), it->second.begin(), it->second.end());
    }
    if (reporter->left()) continue;
    // The time in which nobody could report does not count as silence; what was silence before it does.
    if (reporter->heard_ms + gone_after_ms_ < last_at_ms_) {
      SetReporterState(reporter.get(), ReporterState::kGone, reporter->heard_ms + gone_after_ms_);
    } else {
      reporter->heard_ms = std::max(reporter->heard_ms, now_ms);
      SetReporterState(reporter.get(), ReporterState::kLive, now_ms);
    }
  }
  recovered_ = true;
  journal_series_ = {};
  loaded_gauges_ = {};
  series_as_of_ = {};
  return absl::OkStatus();
}

}  // namespace wheelpit
