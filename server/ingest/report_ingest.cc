#include "server/ingest/report_ingest.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "server/ingest/report_ingest_impl.h"
#include "server/series/name_rules.h"
#include "server/series/probe.h"

namespace wheelpit {
namespace {

using ReporterState = SeriesStore::ReporterState;

constexpr int64_t kTickMs = 1000;
// The whole store is looked at once in so many ticks, at least so many series each.
constexpr size_t kScanTicks = 60;
constexpr size_t kScanMin = 4096;
constexpr size_t kFreePendingMax = 64;
constexpr size_t kReporterIdBytesMax = 128;
// Keys of expired series in one FORGET.
constexpr size_t kForgetBytes = 256 << 10;
constexpr absl::Duration kRetryAfter = absl::Seconds(1);

absl::Status CheckHello(const ReportHello& hello) {
  if (hello.reporter_id.empty() || hello.reporter_id.size() > kReporterIdBytesMax || !IsValidUtf8(hello.reporter_id)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_REPORTER_ID", "reporter_id must be 1..128 bytes of UTF-8");
  }
  if (hello.incarnation == 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_INCARNATION", "incarnation must be > 0");
  }
  return absl::OkStatus();
}

absl::Status StaleIncarnation(uint64_t old, uint64_t newest) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "STALE_INCARNATION",
                   absl::StrFormat("incarnation %d is older than %d", old, newest));
}

absl::Status Draining() { return MakeError(absl::StatusCode::kUnavailable, "DRAINING", "shutting down", kRetryAfter); }

}  // namespace

std::unique_ptr<ReportIngest> ReportIngest::Create(const ReportIngestOptions& options, Journal* journal, DurableQueue* durable,
                                                   SeriesStore* store, CounterFold* fold) {
  // CounterFold::Create makes no other.
  return std::make_unique<ReportIngestImpl>(options, journal, durable, store, static_cast<CounterFoldImpl*>(fold));
}

ReportIngestImpl::ReportIngestImpl(const ReportIngestOptions& options, Journal* journal, DurableQueue* durable, SeriesStore* store,
                                   CounterFoldImpl* fold)
    : options_(options), journal_(journal), durable_(durable), store_(store), fold_(fold) {
  fold_->set_live_min_ms(options.live_min_ms);
  fold_->set_gone_after_ms(options.gone_after_ms);
}

ReportIngestImpl::~ReportIngestImpl() {
  for (ReportStreamImpl* stream : streams_) stream->Orphan();
}

// --- streams ---

absl::StatusOr<std::unique_ptr<ReportStream>> ReportIngestImpl::Open(const ReportHello& hello, int64_t now, HelloOutcome* outcome,
                                                                     absl::AnyInvocable<void(absl::Status)> superseded) {
  if (draining_) return Draining();
  if (!fold_->recovered()) return MakeError(absl::StatusCode::kUnavailable, "NOT_READY", "recovering", kRetryAfter);
  WHEELPIT_RETURN_IF_ERROR(CheckHello(hello));
  WHEELPIT_RETURN_IF_ERROR(store_->CheckLabels(hello.labels, MetricType::kCounter));
  Reporter* reporter = fold_->reporters().Find(hello.reporter_id);
  if (reporter != nullptr && hello.incarnation < reporter->appended.incarnation) {
    probe_.stale_incarnation->Add();
    return StaleIncarnation(hello.incarnation, reporter->appended.incarnation);
  }
  const bool is_new = reporter == nullptr;
  if (is_new) reporter = &fold_->reporters().Add(hello.reporter_id);
  if (hello.incarnation > reporter->appended.incarnation || hello.acked_through > reporter->appended.seq) {
    if (absl::Status status = AppendHello(hello, reporter, now); !status.ok()) {
      if (is_new) fold_->reporters().Remove(reporter->number);
      return status;
    }
  }
  if (reporter->stream != nullptr) {
    ReportStreamImpl* old = std::exchange(reporter->stream, nullptr);
    probe_.superseded->Add();
    old->End(old->incarnation() < hello.incarnation
                 ? StaleIncarnation(old->incarnation(), hello.incarnation)
                 : MakeError(absl::StatusCode::kAborted, "SESSION_SUPERSEDED", "a newer stream of this incarnation exists"));
  }
  Heard(reporter, now);
  *outcome = {fold_->history_id(), reporter->appended.seq, MakeAck(0).credit, journal_->durable()};
  return std::make_unique<ReportStreamImpl>(this, reporter, hello, std::move(superseded));
}

// What this history takes as applied of an incarnation that it does not know, or of which it lost acknowledged batches.
absl::Status ReportIngestImpl::AppendHello(const ReportHello& hello, Reporter* reporter, int64_t now) {
  const bool same = hello.incarnation == reporter->appended.incarnation;
  std::unique_ptr<PendingReport> p = NewPending();
  p->effect.header = {.at_ms = now,
                      .reporter = reporter->id,
                      .reporter_number = reporter->number,
                      .incarnation = hello.incarnation,
                      .seq = hello.acked_through,
                      .hello = true};
  if (absl::Status status = Append(&p, hello.acked_through, nullptr); !status.ok()) {
    Recycle(std::move(p));
    return status;
  }
  if (same) probe_.batches_lost->Add(hello.acked_through - reporter->appended.seq);
  reporter->appended = {hello.incarnation, hello.acked_through, hello.acked_through == 0};
  reporter->content.Clear();
  reporter->cumulative_appended.reset();
  return absl::OkStatus();
}

void ReportIngestImpl::Heard(Reporter* reporter, int64_t now) {
  // Of many batches in one millisecond only the first tells anything.
  if (now <= reporter->heard_ms && reporter->state == ReporterState::kLive) return;
  reporter->heard_ms = std::max(reporter->heard_ms, now);
  SeriesStore::WriteLock lock(store_);
  fold_->SetReporterState(reporter, ReporterState::kLive, now);
}

absl::Status ReportIngestImpl::CheckRoom(const ReportBatch& batch, int64_t now) {
  if (draining_) return Draining();
  if (now >= new_series_since_ms_ + 1000) {
    new_series_since_ms_ = now;
    new_series_ = 0;
  }
  const bool too_many = !batch.series.empty() && new_series_ >= options_.new_series_per_s_max;
  if (too_many) SeriesProbe::Get().LimitHit("new_series_per_s");
  if (!too_many && queued_bytes_ + batch.encoded_bytes <= options_.queued_bytes_max) return absl::OkStatus();
  probe_.exhausted->Add();
  return MakeError(absl::StatusCode::kResourceExhausted, "OVERLOADED", "ingest queue full", kRetryAfter);
}

std::unique_ptr<PendingReport> ReportIngestImpl::NewPending() {
  if (free_.empty()) return std::make_unique<PendingReport>();
  std::unique_ptr<PendingReport> p = std::move(free_.back());
  free_.pop_back();
  p->clear();
  return p;
}

void ReportIngestImpl::Recycle(std::unique_ptr<PendingReport> p) {
  if (free_.size() < kFreePendingMax) free_.push_back(std::move(p));
}

BatchAck ReportIngestImpl::MakeAck(uint64_t through_seq) const {
  BatchAck ack;
  ack.through_seq = through_seq;
  ack.durable = journal_->durable();
  ack.history_id = fold_->history_id();
  // Never 0: only another ack could lift it again, and none might be under way.
  ack.credit = queued_bytes_ > options_.queued_bytes_max / 2 ? 1 : options_.credit;
  return ack;
}

absl::Status ReportIngestImpl::Append(std::unique_ptr<PendingReport>* pending, uint64_t through_seq, ReportStream::AckDone* done) {
  PendingReport* const p = pending->get();
  RecordView record;
  record.type = RecordType::kReport;
  if (journal_->Keeps(RecordType::kReport)) {
    // The deltas live with the effect alone; the record borrows them.
    p->columns.counter_deltas.swap(p->effect.counter_deltas);
    EncodeReport(p->effect.header, p->definitions, p->columns, &meta_, &payload_);
    p->columns.counter_deltas.swap(p->effect.counter_deltas);
    record.meta = meta_;
    record.payload = payload_;
  }
  const absl::StatusOr<Lsn> lsn = journal_->AppendOngoing({&record, 1}, nullptr);
  if (!lsn.ok()) return lsn.status();
  Reporter* const reporter = fold_->reporters().Find(p->effect.header.reporter_number);
  ++reporter->in_flight;
  in_flight_.push_back(p);
  queued_bytes_ += p->bytes;
  ReportStream::AckDone ack_done;
  if (done != nullptr) ack_done = std::move(*done);
  durable_->After(*lsn, [this, reporter, through_seq, at = *lsn, owned = std::move(*pending),
                         ack_done = std::move(ack_done)](const absl::Status& status) mutable {
    queued_bytes_ -= owned->bytes;
    in_flight_.pop_front();
    --reporter->in_flight;
    if (status.ok()) fold_->ApplyReport(at, owned->effect);
    if (ack_done && status.ok()) {
      BatchAck ack = MakeAck(through_seq);
      ack.rejects = std::move(owned->rejects);
      Recycle(std::move(owned));
      ack_done(std::move(ack));
    } else {
      Recycle(std::move(owned));
      if (ack_done) ack_done(status);
    }
  });
  return absl::OkStatus();
}

void ReportIngestImpl::AckAgain(uint64_t through_seq, ReportStream::AckDone done) {
  durable_->After(journal_->last_lsn(), [this, through_seq, done = std::move(done)](const absl::Status& status) mutable {
    if (status.ok()) {
      done(MakeAck(through_seq));
    } else {
      done(status);
    }
  });
}

// --- time ---

void ReportIngestImpl::ScrapeCompleted(int64_t now) {
  scrape_before_ms_ = last_scrape_ms_;
  last_scrape_ms_ = now;
}

void ReportIngestImpl::Advance(int64_t now) {
  if (now < next_tick_ms_) return;
  next_tick_ms_ = now + kTickMs;
  if (!fold_->recovered()) return;
  AdvanceReporters(now);
  AdvanceSeries(now);
  PublishGauges(now);
}

void ReportIngestImpl::AdvanceReporters(int64_t now) {
  std::vector<ReporterNumber> forgotten;
  size_t live = 0, silent = 0, gone = 0;
  {
    SeriesStore::WriteLock lock(store_);
    for (const auto& [number, reporter] : fold_->reporters().by_number()) {
      Reporter& r = *reporter;
      const int64_t silence = now - r.heard_ms;
      const bool leaves = !r.left() && silence > options_.gone_after_ms;
      if (leaves) fold_->SetReporterState(&r, ReporterState::kGone, r.heard_ms + options_.gone_after_ms);
      if (!r.gauges.empty() && (r.left() || silence > options_.gauge_ttl_ms)) fold_->WithdrawGauges(&r, 0, now);
      if (r.left() && r.in_flight == 0 && r.stream == nullptr && !r.forgotten && now - r.left_ms > options_.reporter_keep_ms &&
          forgotten.size() < kForgetItemsMax) {
        forgotten.push_back(number);
      }
      ++(r.left() ? gone : now <= fold_->LiveUntil(r) ? live : silent);
    }
  }
  probe_.live_reporters->Set(static_cast<double>(live));
  probe_.silent_reporters->Set(static_cast<double>(silent));
  probe_.gone_reporters->Set(static_cast<double>(gone));
  if (!forgotten.empty()) Forget({}, std::move(forgotten), now);
}

bool ReportIngestImpl::MayExpire(const Series& s, int64_t now) const {
  if (options_.series_ttl_ms == 0 || !s.published || s.gone || s.pinned || s.gauge_present) return false;
  const int64_t changed = std::max(s.changed_ms, s.created_ms);
  if (now - changed <= options_.series_ttl_ms) return false;
  // While somebody scrapes, the last change must have been seen twice.
  return now - last_scrape_ms_ > options_.series_ttl_ms || changed < scrape_before_ms_;
}

void ReportIngestImpl::AdvanceSeries(int64_t now) {
  const SeriesId end = store_->id_end();
  const size_t n = std::max(kScanMin, end / kScanTicks + 1);
  {
    SeriesStore::WriteLock lock(store_);
    store_->FreeIdleRings(scan_, n, now);
  }
  std::vector<SeriesId> expired;
  SeriesId id = scan_;
  size_t bytes = 0;
  for (size_t looked = 0; looked < n && id < end && expired.size() < kForgetItemsMax && bytes < kForgetBytes; ++looked, ++id) {
    const Series* s = store_->find(id);
    if (s == nullptr || !MayExpire(*s, now)) continue;
    expired.push_back(id);
    bytes += s->packed_labels_size;
  }
  scan_ = id < end ? id : 1;
  if (expired.empty()) return;
  // Not what a batch under way counts on.
  absl::flat_hash_set<SeriesId> busy;
  for (const PendingReport* p : in_flight_) {
    for (const auto* ids : {&p->effect.counters, &p->effect.fractions, &p->effect.gauges, &p->effect.gauge_removes}) {
      busy.insert(ids->begin(), ids->end());
    }
    for (const ReportEffect::Sub& sub : p->effect.subs) busy.insert(sub.id);
  }
  const auto keep = [&](SeriesId series) { return busy.contains(series) || fold_->IsForgetting(series); };
  expired.erase(std::remove_if(expired.begin(), expired.end(), keep), expired.end());
  if (!expired.empty()) Forget(std::move(expired), {}, now);
}

void ReportIngestImpl::Forget(std::vector<SeriesId> series, std::vector<ReporterNumber> reporters, int64_t now) {
  ForgetRecord forget;
  forget.at_ms = now;
  forget.reporters = reporters;
  for (const SeriesId id : series) {
    const Series& s = store_->at(id);
    forget.series.push_back({s.journal_id, store_->family_at(s.family).family.name, s.labels().ToLabels()});
  }
  EncodeForget(forget, &meta_, &payload_);
  RecordView record;
  record.type = RecordType::kForget;
  record.meta = meta_;
  record.payload = payload_;
  const absl::StatusOr<Lsn> lsn = journal_->AppendReserved({&record, 1}, nullptr);
  if (!lsn.ok()) return;  // nothing is forgotten; the next pass tries again
  {
    SeriesStore::WriteLock lock(store_);
    fold_->ForgetAppended(series);
  }
  if (!series.empty()) {
    std::vector<bool> by_id(*std::max_element(series.begin(), series.end()) + size_t{1});
    for (const SeriesId id : series) by_id[id] = true;
    for (ReportStreamImpl* stream : streams_) stream->SeriesForgotten(by_id);
  }
  for (const ReporterNumber number : reporters) {
    Reporter* reporter = fold_->reporters().Find(number);
    reporter->forgotten = true;
    fold_->reporters().Detach(reporter);
  }
  durable_->After(*lsn, [this, at = *lsn, series = std::move(series), reporters = std::move(reporters), now](const absl::Status& status) {
    if (!status.ok()) return;
    fold_->ApplyForget(at, series, reporters, now);
    probe_.expired_ttl->Add(series.size());
  });
}

void ReportIngestImpl::PublishGauges(int64_t now) {
  const SeriesStore::Usage usage = store_->usage();
  probe_.active_series->Set(static_cast<double>(usage.series_with_rings));
  probe_.idle_series->Set(static_cast<double>(usage.series - std::min(usage.series, usage.series_with_rings)));
  probe_.families->Set(static_cast<double>(usage.families));
  probe_.ring_bytes->Set(static_cast<double>(usage.ring_bytes));
  probe_.series_bytes->Set(static_cast<double>(usage.series_bytes));
  probe_.queued_batches->Set(static_cast<double>(in_flight_.size()));
  const int64_t oldest_ms = in_flight_.empty() ? now : in_flight_.front()->effect.header.at_ms;
  probe_.oldest_unacked->Set(static_cast<double>(std::max<int64_t>(now - oldest_ms, 0)) / 1000);
}

}  // namespace wheelpit
