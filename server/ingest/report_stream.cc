#include "server/ingest/report_stream.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/crc32c.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "server/ingest/families.h"
#include "server/ingest/report_ingest_impl.h"
#include "server/series/name_rules.h"
#include "server/series/probe.h"

namespace wheelpit {
namespace {

// Refs index an array: a reporter that follows the rule of small and dense refs stays far below this.
constexpr uint32_t kRefsMax = 1 << 17;
constexpr uint64_t kStaleMarker = 0x7ff0000000000002;
constexpr uint64_t kCanonicalNan = 0x7ff8000000000001;
// Between the columns of a batch in its checksum.
constexpr uint64_t kColumnMark = 0x9e3779b97f4a7c15;

uint64_t ContentWord(uint64_t key_hash, uint64_t value) { return key_hash ^ (value * kColumnMark); }

bool IsIncrement(double v) { return std::isfinite(v) && v >= 0; }

absl::Status BadValue(double v) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                   absl::StrCat("counter delta must be finite and >= 0, got ", v));
}

absl::Status BadBatch(absl::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_BATCH", message);
}

absl::Status UnknownRef(uint32_t ref) {
  return MakeError(absl::StatusCode::kNotFound, "UNKNOWN_REF", absl::StrFormat("series ref %d is not defined on this stream", ref));
}

std::string NumberText(const CumulativeValue& v) { return v.is_double ? absl::StrCat(v.fraction) : absl::StrCat(v.integral); }

}  // namespace

void PendingReport::clear() {
  effect.clear();
  definitions.families.clear();
  definitions.series.clear();
  columns.clear();
  content.clear();
  rejects.clear();
  named.clear();
  created.clear();
  bytes = 0;
}

ReportStreamImpl::ReportStreamImpl(ReportIngestImpl* ingest, Reporter* reporter, const ReportHello& hello,
                                   absl::AnyInvocable<void(absl::Status)> superseded)
    : ingest_(ingest),
      reporter_(reporter),
      incarnation_(hello.incarnation),
      cumulative_(hello.cumulative),
      labels_(hello.labels),
      superseded_(std::move(superseded)) {
  reporter_->stream = this;
  ingest_->Add(this);
}

ReportStreamImpl::~ReportStreamImpl() {
  if (ingest_ == nullptr) return;
  ingest_->Drop(this);
  if (ended_.ok() && reporter_->stream == this) reporter_->stream = nullptr;
}

void ReportStreamImpl::Orphan() {
  ingest_ = nullptr;
  ended_ = MakeError(absl::StatusCode::kUnavailable, "DRAINING", "shutting down");
}

void ReportStreamImpl::End(absl::Status status) {
  if (!ended_.ok()) return;
  ended_ = status;
  if (reporter_->stream == this) reporter_->stream = nullptr;
  // The callback may destroy this stream.
  auto superseded = std::move(superseded_);
  superseded_ = nullptr;
  if (superseded) superseded(std::move(status));
}

void ReportStreamImpl::Apply(ReportBatch batch, int64_t now, AckDone done) {
  if (!ended_.ok()) return done(ended_);
  absl::Status status = CheckBatch(batch);
  if (status.ok()) status = ingest_->CheckRoom(batch, now);
  if (!status.ok()) {
    ingest_->probe().rejected->Add();
    return done(status);
  }
  ingest_->Heard(reporter_, now);
  const uint64_t expected = reporter_->appended.seq + 1;
  if (batch.seq > expected || batch.seq == 0) {
    ingest_->probe().gap->Add();
    return done(MakeError(absl::StatusCode::kOutOfRange, "SEQ_GAP", absl::StrFormat("expected seq %d, got %d", expected, batch.seq)));
  }
  // A resend defines refs for the batches after it, and makes nothing.
  const bool create = batch.seq == expected;
  std::unique_ptr<PendingReport> p = ingest_->NewPending();
  batch_seq_ = batch.seq;
  batch_now_ = now;
  batch_create_ = create;
  batch_cumulative_.clear();
  Define(batch, create, now, p.get());
  Resolve(batch, create, now, p.get());
  const uint32_t crc = Crc32c({reinterpret_cast<const char*>(p->content.data()), p->content.size() * sizeof(uint64_t)});
  if (!create) {
    const bool same = reporter_->content.Matches(batch.seq, crc);
    ingest_->Recycle(std::move(p));
    if (!same) {
      ingest_->probe().rejected->Add();
      return done(MakeError(absl::StatusCode::kDataLoss, "BATCH_MISMATCH",
                            absl::StrFormat("seq %d was applied with other content", batch.seq)));
    }
    ingest_->probe().duplicate->Add();
    return ingest_->AckAgain(reporter_->appended.seq, std::move(done));
  }
  p->effect.header.content_crc = crc;
  Submit(batch, std::move(p), now, std::move(done));
}

absl::Status ReportStreamImpl::CheckBatch(const ReportBatch& batch) const {
  const auto& options = ingest_->options();
  const size_t samples = batch.counter_refs.size() + batch.fraction_refs.size() + batch.gauge_refs.size() +
                         batch.gauge_removes.size() + batch.unsupported_samples;
  if (samples > options.samples_per_batch_max) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BATCH_TOO_LARGE",
                     absl::StrFormat("batch has %d samples, limit %d", samples, options.samples_per_batch_max));
  }
  if (batch.encoded_bytes > options.batch_bytes_max) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BATCH_TOO_LARGE",
                     absl::StrFormat("batch has %d bytes, limit %d", batch.encoded_bytes, options.batch_bytes_max));
  }
  if (batch.counter_refs.size() != batch.counter_values.size() || batch.fraction_refs.size() != batch.fraction_values.size() ||
      batch.gauge_refs.size() != batch.gauge_values.size()) {
    return BadBatch("refs and values of a column differ in length");
  }
  if (batch.interval_ms < 0) return BadBatch("interval_ms must not be negative");
  return batch.subs.empty() ? absl::OkStatus() : CheckSubs(batch);
}

// What is told per second but belongs to no sample would be lost without a word.
absl::Status ReportStreamImpl::CheckSubs(const ReportBatch& batch) const {
  if (cumulative_) return BadBatch("subs need deltas, and this reporter sends cumulative values");
  absl::flat_hash_set<uint32_t> counters(batch.counter_refs.begin(), batch.counter_refs.end());
  for (const SubDeltas& sub : batch.subs) {
    if (counters.erase(sub.ref) == 0) {
      return BadBatch(absl::StrFormat("subs: ref %d has no sample in counter_refs, or two of subs", sub.ref));
    }
  }
  return absl::OkStatus();
}

void ReportStreamImpl::Submit(const ReportBatch& batch, std::unique_ptr<PendingReport> p, int64_t now, AckDone done) {
  ReportHeader& header = p->effect.header;
  header = {.at_ms = now,
            .reporter = reporter_->id,
            .reporter_number = reporter_->number,
            .incarnation = incarnation_,
            .seq = batch.seq,
            .age_ms = std::clamp<int64_t>(batch.age_ms, 0, now),
            .interval_ms = std::min(batch.interval_ms, kReportIntervalMaxMs),
            .content_crc = header.content_crc};
  p->bytes = batch.encoded_bytes;
  auto& probe = ingest_->probe();
  const PendingReport& r = *p;
  const uint64_t counters = r.effect.counters.size() + r.effect.fractions.size() + r.effect.subs.size();
  const uint64_t gauges = r.effect.gauges.size() + r.effect.gauge_removes.size();
  const uint32_t crc = header.content_crc;
  if (absl::Status status = ingest_->Append(&p, batch.seq, &done); !status.ok()) {
    Undo(p.get());
    ingest_->Recycle(std::move(p));
    // With the hello's labels on each of its series it is longer than it came.
    if (absl::IsInvalidArgument(status)) status = MakeError(status.code(), "BATCH_TOO_LARGE", status.message());
    return done(status);
  }
  reporter_->appended.seq = batch.seq;
  reporter_->content.Set(batch.seq, crc);
  reporter_->interval_ms = std::min(batch.interval_ms, kReportIntervalMaxMs);
  if (!batch_cumulative_.empty()) {
    if (reporter_->cumulative_appended == nullptr) reporter_->cumulative_appended = std::make_unique<CumulativeValues>();
    for (const auto& [key, value] : batch_cumulative_) (*reporter_->cumulative_appended)[key] = value;
  }
  probe.applied->Add();
  probe.counter_samples->Add(counters);
  probe.gauge_samples->Add(gauges);
  probe.report_age->Observe(static_cast<double>(std::max<int64_t>(batch.age_ms, 0)) / 1000);
}

// Nothing was journaled: no series may stay that only this record would have defined.
void ReportStreamImpl::Undo(PendingReport* p) {
  SeriesStore* store = ingest_->store();
  SeriesStore::WriteLock lock(store);
  for (const SeriesId id : p->named) store->at(id).journal_id = 0;
  // Made here, so nobody else feeds them.
  for (const SeriesId id : p->created) reporter_->series -= static_cast<uint32_t>(store->at(id).feeders.size());
  store->Remove(p->created, batch_now_);
  // The refs point nowhere now; an error of Append ends the stream.
  ended_ = MakeError(absl::StatusCode::kUnavailable, "JOURNAL", "the stream ended with an error");
  if (reporter_->stream == this) reporter_->stream = nullptr;
}

void ReportStreamImpl::Heartbeat(int64_t now) {
  if (ended_.ok()) ingest_->Heard(reporter_, now);
}

void ReportStreamImpl::Goodbye(bool drained, int64_t now, AckDone done) {
  if (!ended_.ok()) return done(ended_);
  std::unique_ptr<PendingReport> p = ingest_->NewPending();
  p->effect.header = {.at_ms = now,
                      .reporter = reporter_->id,
                      .reporter_number = reporter_->number,
                      .incarnation = incarnation_,
                      .seq = reporter_->appended.seq,
                      .goodbye = true,
                      .drained = drained};
  if (absl::Status status = ingest_->Append(&p, reporter_->appended.seq, &done); !status.ok()) {
    ingest_->Recycle(std::move(p));
    done(status);
  }
}

// --- definitions ---

void ReportStreamImpl::Define(const ReportBatch& batch, bool create, int64_t now, PendingReport* p) {
  const SeriesLimits& limits = ingest_->store()->limits();
  for (const Family& family : batch.families) {
    if (create) NoteConflicts(family);
    Family& f = families_[family.name];
    f = family;
    // Metadata never fails a series: what cannot be shown is left out.
    if (f.help.size() > limits.help_bytes_max || !IsValidUtf8(f.help)) f.help.clear();
    if (!IsValidUtf8(f.unit)) f.unit.clear();
  }
  for (const SeriesDefinition& series : batch.series) {
    if (series.ref >= kRefsMax) continue;  // its samples are UNKNOWN_REF
    if (series.ref >= refs_.size()) refs_.resize(std::max<size_t>(series.ref + size_t{1}, refs_.size() * 2));
    Ref& ref = refs_[series.ref];
    ref = {};
    bad_refs_.erase(series.ref);
    detached_.erase(series.ref);
    if (absl::Status status = DefineOne(series, create, now, p, &ref); !status.ok()) {
      ref.kind = Kind::kBad;
      bad_refs_[series.ref] = status;
    }
  }
}

void ReportStreamImpl::NoteConflicts(const Family& family) const {
  const SeriesStore& store = *ingest_->store();
  const auto index = store.FindFamily(family.name);
  if (!index.has_value() || store.family_at(*index).series_made == 0) return;
  const Family& first = store.family_at(*index).family;
  const IngestProbe& probe = ingest_->probe();
  if (!family.help.empty() && family.help != first.help) probe.help_conflicts->Add();
  if (!family.unit.empty() && family.unit != first.unit) probe.unit_conflicts->Add();
  if (family.type != MetricType::kUnspecified && family.type != first.type) probe.type_conflicts->Add();
}

absl::StatusOr<ReportStreamImpl::Definition> ReportStreamImpl::MakeDefinition(const SeriesDefinition& series) const {
  const SeriesStore& store = *ingest_->store();
  WHEELPIT_RETURN_IF_ERROR(CheckReportName(store, series.family));
  Definition definition;
  if (const auto it = families_.find(series.family); it != families_.end() && it->second.type != MetricType::kUnspecified) {
    definition.family = it->second;
  } else if (const auto known = store.FindFamily(series.family); known.has_value()) {
    definition.family = store.family_at(*known).family;
  } else {
    definition.family = DefaultFamily(series.family);
    if (it != families_.end()) {
      const MetricType type = definition.family.type;
      definition.family = it->second;
      definition.family.type = type;
    }
  }
  const MetricType type = definition.family.type;
  if (type != MetricType::kCounter && type != MetricType::kGauge) {
    return MakeError(absl::StatusCode::kInvalidArgument, "UNSUPPORTED_TYPE",
                     absl::StrFormat("metric %s: type %s is not taken", Quoted(series.family), MetricTypeName(type)));
  }
  if (definition.family.gauge_merge < GaugeMerge::kUnspecified || definition.family.gauge_merge > GaugeMerge::kCount) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD",
                     absl::StrFormat("metric %s: unknown gauge_merge %d", Quoted(series.family), static_cast<int>(definition.family.gauge_merge)));
  }
  if (!definition.family.bucket_bounds.empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_BUCKETS",
                     absl::StrFormat("metric %s: a %s has no bucket bounds", Quoted(series.family), MetricTypeName(type)));
  }
  std::vector<Labels::Pair> pairs = series.labels;
  for (const auto& [name, value] : labels_) {
    const bool has = std::any_of(series.labels.begin(), series.labels.end(), [&n = name](const auto& p) { return p.first == n; });
    if (!has) pairs.emplace_back(name, value);
  }
  WHEELPIT_RETURN_IF_ERROR(store.CheckLabels(pairs, type));
  definition.labels = Labels(std::move(pairs));
  return definition;
}

absl::Status ReportStreamImpl::DefineOne(const SeriesDefinition& series, bool create, int64_t now, PendingReport* p, Ref* ref) {
  // Also of a definition that is refused: its samples are part of the content.
  ref->key_hash = StableKeyHash(series.family, {});
  WHEELPIT_ASSIGN_OR_RETURN(Definition definition, MakeDefinition(series));
  const std::string packed = PackLabels(definition.labels);
  ref->key_hash = StableKeyHash(series.family, packed);
  if (create) return Materialize(std::move(definition), now, p, ref);
  // A resend was taken in before, so its series exists unless it expired since; then a later sample makes it anew.
  ref->kind = Kind::kDetached;
  detached_[series.ref] = std::move(definition);
  return absl::OkStatus();
}

absl::StatusOr<SeriesId> ReportStreamImpl::FindOrCreate(const Definition& definition, uint32_t family, int64_t now, PendingReport* p) {
  SeriesStore* store = ingest_->store();
  SeriesId id = store->Find(family, definition.labels);
  const size_t per_reporter_max = store->limits().series_per_reporter_max;
  const auto feeds = [&](SeriesId s) {
    const auto& feeders = store->at(s).feeders;
    return std::find(feeders.begin(), feeders.end(), reporter_->number) != feeders.end();
  };
  const bool is_counter = definition.family.type == MetricType::kCounter;
  const size_t has = is_counter ? reporter_->series : gauges_defined_;
  if (has >= per_reporter_max && (id == 0 || !is_counter || !feeds(id))) {
    SeriesProbe::Get().LimitHit("series_per_reporter");
    return MakeError(absl::StatusCode::kResourceExhausted, "SERIES_LIMIT",
                     absl::StrFormat("series limit series_per_reporter=%d reached", per_reporter_max));
  }
  if (id != 0) return id;
  const SeriesId end = store->id_end();
  WHEELPIT_ASSIGN_OR_RETURN(id, store->FindOrCreate(family, definition.labels, now, /*limited=*/true));
  if (id >= end) {
    p->created.push_back(id);
    ingest_->CountNewSeries();
  }
  return id;
}

absl::Status ReportStreamImpl::Materialize(Definition definition, int64_t now, PendingReport* p, Ref* ref) {
  SeriesStore* store = ingest_->store();
  SeriesStore::WriteLock lock(store);
  WHEELPIT_ASSIGN_OR_RETURN(const uint32_t family, store->FindOrAddFamily(definition.family, now, /*limited=*/true));
  const bool is_counter = definition.family.type == MetricType::kCounter;
  absl::StatusOr<SeriesId> id = FindOrCreate(definition, family, now, p);
  if (ErrorReason(id.status()) == "SERIES_LIMIT" && store->limits().overflow_series && is_counter) {
    definition.labels = Labels({{"overflow", "true"}});
    id = store->FindOrCreate(family, definition.labels, now, /*limited=*/false);
  }
  WHEELPIT_RETURN_IF_ERROR(id.status());
  Series& s = store->at(*id);
  if (s.journal_id == 0) {
    s.journal_id = ingest_->fold()->NewJournalId();
    p->named.push_back(*id);
    p->effect.defined.push_back(*id);
    p->definitions.series.push_back({s.journal_id, definition.family.name, definition.labels});
    const auto same = [&](const Family& f) { return f.name == definition.family.name; };
    if (std::none_of(p->definitions.families.begin(), p->definitions.families.end(), same)) {
      p->definitions.families.push_back(store->family_at(family).family);
    }
  }
  if (!is_counter) {
    ++gauges_defined_;
  } else if (store->AttachReporter(*id, reporter_->number)) {
    ++reporter_->series;
  }
  ref->id = *id;
  ref->journal_id = s.journal_id;
  ref->kind = is_counter ? Kind::kCounter : Kind::kGauge;
  return absl::OkStatus();
}

void ReportStreamImpl::SeriesForgotten(const std::vector<bool>& by_id) {
  const SeriesStore& store = *ingest_->store();
  for (uint32_t r = 0; r < refs_.size(); ++r) {
    Ref& ref = refs_[r];
    if ((ref.kind != Kind::kCounter && ref.kind != Kind::kGauge) || ref.id >= by_id.size() || !by_id[ref.id]) continue;
    const Series& s = store.at(ref.id);
    detached_[r] = {store.family_at(s.family).family, s.labels().ToLabels()};
    ref.kind = Kind::kDetached;
  }
}

// --- samples ---

void ReportStreamImpl::Reject(size_t sample, const absl::Status& status, PendingReport* p) {
  p->rejects.push_back({batch_seq_, static_cast<uint32_t>(sample), ErrorReason(status), std::string(status.message())});
  if (batch_create_) IngestProbe::Rejected(ErrorReason(status))->Add();
}

// The content of a batch is its keys and values as sent, whatever becomes of them.
void ReportStreamImpl::AddContent(uint32_t number, uint64_t value, PendingReport* p) const {
  p->content.push_back(ContentWord(number < refs_.size() ? refs_[number].key_hash : 0, value));
}

const ReportStreamImpl::Ref* ReportStreamImpl::Usable(uint32_t number, Kind kind, size_t sample, PendingReport* p) {
  if (number >= refs_.size() || refs_[number].kind == Kind::kUndefined) {
    Reject(sample, UnknownRef(number), p);
    return nullptr;
  }
  Ref& ref = refs_[number];
  if (ref.kind == Kind::kDetached) {
    if (!batch_create_) return nullptr;
    Definition definition = detached_.at(number);
    if (absl::Status status = Materialize(std::move(definition), batch_now_, p, &ref); !status.ok()) {
      Reject(sample, status, p);
      return nullptr;
    }
    detached_.erase(number);
  }
  if (ref.kind == kind) return &ref;
  if (ref.kind == Kind::kBad) {
    Reject(sample, bad_refs_.at(number), p);
    return nullptr;
  }
  const Series& s = ingest_->store()->at(ref.id);
  const char* reported = kind == Kind::kCounter ? "counter" : "gauge";
  const Family& family = ingest_->store()->family_at(s.family).family;
  Reject(sample,
         MakeError(absl::StatusCode::kFailedPrecondition, "TYPE_CONFLICT",
                   absl::StrFormat("metric %s is %s, reported as %s", Quoted(family.name), MetricTypeName(family.type), reported)),
         p);
  return nullptr;
}

void ReportStreamImpl::Resolve(const ReportBatch& batch, bool create, int64_t, PendingReport* p) {
  p->content.reserve(batch.counter_refs.size() + batch.fraction_refs.size() + batch.gauge_refs.size() + batch.gauge_removes.size() + 4);
  if (cumulative_) {
    ResolveCumulative(batch, p);
  } else {
    ResolveCounters(batch, p);
  }
  p->content.push_back(kColumnMark);
  ResolveFractions(batch, p);
  p->content.push_back(kColumnMark);
  ResolveGauges(batch, p);
  const size_t known = batch.counter_refs.size() + batch.fraction_refs.size() + batch.gauge_refs.size() + batch.gauge_removes.size();
  if (!create) return;
  for (uint32_t i = 0; i < batch.unsupported_samples; ++i) {
    Reject(known + i,
           MakeError(absl::StatusCode::kInvalidArgument, "UNSUPPORTED_TYPE", "histograms, summaries and exemplars are not taken yet"), p);
  }
}

void ReportStreamImpl::ResolveCounters(const ReportBatch& batch, PendingReport* p) {
  const size_t n = batch.counter_refs.size();
  ReportEffect& effect = p->effect;
  if (!batch.subs.empty()) return ResolveSubs(batch, p);
  effect.counters.resize(n);
  effect.counter_deltas.resize(n);
  p->columns.counter_ids.resize(n);
  p->content.resize(n);
  size_t taken = 0;
  for (size_t i = 0; i < n; ++i) {
    const uint32_t number = batch.counter_refs[i];
    const uint64_t value = batch.counter_values[i];
    const Ref* ref = number < refs_.size() ? &refs_[number] : nullptr;
    p->content[i] = ContentWord(ref == nullptr ? 0 : ref->key_hash, value);
    if (ref == nullptr || ref->kind != Kind::kCounter) [[unlikely]] {
      ref = Usable(number, Kind::kCounter, i, p);
      if (ref == nullptr) continue;
    }
    effect.counters[taken] = ref->id;
    effect.counter_deltas[taken] = value;
    p->columns.counter_ids[taken] = ref->journal_id;
    ++taken;
  }
  effect.counters.resize(taken);
  effect.counter_deltas.resize(taken);
  p->columns.counter_ids.resize(taken);
}

void ReportStreamImpl::ResolveSubs(const ReportBatch& batch, PendingReport* p) {
  absl::flat_hash_map<uint32_t, absl::Span<const uint64_t>> subs;
  for (const SubDeltas& sub : batch.subs) subs[sub.ref] = sub.deltas;
  ReportEffect& effect = p->effect;
  for (size_t i = 0; i < batch.counter_refs.size(); ++i) {
    const uint32_t number = batch.counter_refs[i];
    const uint64_t value = batch.counter_values[i];
    AddContent(number, value, p);
    const Ref* ref = Usable(number, Kind::kCounter, i, p);
    if (ref == nullptr) continue;
    const auto it = subs.find(number);
    if (it == subs.end()) {
      effect.counters.push_back(ref->id);
      effect.counter_deltas.push_back(value);
      p->columns.counter_ids.push_back(ref->journal_id);
      continue;
    }
    uint64_t sum = 0;
    bool wrapped = false;
    for (const uint64_t delta : it->second) wrapped |= __builtin_add_overflow(sum, delta, &sum);
    if (sum != value || wrapped) {
      Reject(i,
             MakeError(absl::StatusCode::kInvalidArgument, "SUB_SUM_MISMATCH",
                       absl::StrFormat("sub deltas add to %d, delta is %d", sum, value)),
             p);
      continue;
    }
    std::vector<uint64_t> deltas(it->second.begin(), it->second.end());
    p->columns.subs.push_back({ref->journal_id, deltas});
    effect.subs.push_back({ref->id, std::move(deltas)});
  }
}

bool ReportStreamImpl::TakeCumulative(const Ref& ref, size_t sample, const CumulativeValue& value, CumulativeValue* delta,
                                      PendingReport* p) {
  const CumulativeValue* last = nullptr;
  if (const auto it = batch_cumulative_.find(ref.key_hash); it != batch_cumulative_.end()) {
    last = &it->second;
  } else if (reporter_->cumulative_appended != nullptr) {
    const auto known = reporter_->cumulative_appended->find(ref.key_hash);
    if (known != reporter_->cumulative_appended->end()) last = &known->second;
  }
  const CumulativeValue zero;
  // Of an incarnation that was not seen from its start the first value only says where counting begins.
  if (last == nullptr) last = reporter_->appended.from_zero ? &zero : &value;
  const bool integral = !value.is_double && !last->is_double;
  const bool fell = integral ? value.integral < last->integral : value.AsDouble() < last->AsDouble();
  if (fell) {
    Reject(sample,
           MakeError(absl::StatusCode::kInvalidArgument, "COUNTER_REGRESSION",
                     absl::StrFormat("cumulative value fell from %s to %s within incarnation %d", NumberText(*last), NumberText(value),
                                     incarnation_)),
           p);
    return false;
  }
  *delta = integral ? CumulativeValue{value.integral - last->integral, 0, false}
                    : CumulativeValue{0, value.AsDouble() - last->AsDouble(), true};
  batch_cumulative_[ref.key_hash] = value;
  if (value.is_double) {
    p->columns.cumulative_ids.push_back(ref.journal_id);
    p->columns.cumulative_values.push_back(value.fraction);
  } else {
    p->columns.cumulative_integral_ids.push_back(ref.journal_id);
    p->columns.cumulative_integral_values.push_back(value.integral);
  }
  p->effect.cumulative.push_back({ref.key_hash, value});
  return true;
}

void ReportStreamImpl::ResolveCumulative(const ReportBatch& batch, PendingReport* p) {
  for (size_t i = 0; i < batch.counter_refs.size(); ++i) {
    AddContent(batch.counter_refs[i], batch.counter_values[i], p);
    const Ref* ref = Usable(batch.counter_refs[i], Kind::kCounter, i, p);
    if (ref == nullptr) continue;
    CumulativeValue delta;
    if (!batch_create_ || !TakeCumulative(*ref, i, {batch.counter_values[i], 0, false}, &delta, p)) continue;
    if (delta.is_double) {
      p->effect.fractions.push_back(ref->id);
      p->effect.fraction_deltas.push_back(delta.fraction);
      p->columns.fraction_ids.push_back(ref->journal_id);
      p->columns.fraction_deltas.push_back(delta.fraction);
    } else {
      p->effect.counters.push_back(ref->id);
      p->effect.counter_deltas.push_back(delta.integral);
      p->columns.counter_ids.push_back(ref->journal_id);
    }
  }
}

void ReportStreamImpl::ResolveFractions(const ReportBatch& batch, PendingReport* p) {
  const size_t before = batch.counter_refs.size();
  for (size_t i = 0; i < batch.fraction_refs.size(); ++i) {
    const double value = batch.fraction_values[i];
    AddContent(batch.fraction_refs[i], std::bit_cast<uint64_t>(value), p);
    const Ref* ref = Usable(batch.fraction_refs[i], Kind::kCounter, before + i, p);
    if (ref == nullptr) continue;
    if (!batch_create_) continue;
    if (!IsIncrement(value)) {
      Reject(before + i, BadValue(value), p);
      continue;
    }
    CumulativeValue delta{0, value, true};
    if (cumulative_ && !TakeCumulative(*ref, before + i, {0, value, true}, &delta, p)) continue;
    p->effect.fractions.push_back(ref->id);
    p->effect.fraction_deltas.push_back(delta.fraction);
    p->columns.fraction_ids.push_back(ref->journal_id);
    p->columns.fraction_deltas.push_back(delta.fraction);
  }
}

void ReportStreamImpl::ResolveGauges(const ReportBatch& batch, PendingReport* p) {
  const size_t before = batch.counter_refs.size() + batch.fraction_refs.size();
  const auto remove = [&](const Ref& ref) {
    p->effect.gauge_removes.push_back(ref.id);
    p->columns.gauge_removes.push_back(ref.journal_id);
  };
  for (size_t i = 0; i < batch.gauge_refs.size(); ++i) {
    uint64_t bits = std::bit_cast<uint64_t>(batch.gauge_values[i]);
    AddContent(batch.gauge_refs[i], bits, p);
    const Ref* ref = Usable(batch.gauge_refs[i], Kind::kGauge, before + i, p);
    if (ref == nullptr) continue;
    if (!batch_create_) continue;
    if (bits == kStaleMarker) {
      remove(*ref);
      continue;
    }
    if (std::isnan(batch.gauge_values[i])) bits = kCanonicalNan;
    const double value = std::bit_cast<double>(bits);
    p->effect.gauges.push_back(ref->id);
    p->effect.gauge_values.push_back(value);
    p->columns.gauge_ids.push_back(ref->journal_id);
    p->columns.gauge_values.push_back(value);
  }
  p->content.push_back(kColumnMark);
  for (size_t i = 0; i < batch.gauge_removes.size(); ++i) {
    AddContent(batch.gauge_removes[i], 0, p);
    const Ref* ref = Usable(batch.gauge_removes[i], Kind::kGauge, before + batch.gauge_refs.size() + i, p);
    if (ref != nullptr && batch_create_) remove(*ref);
  }
}

}  // namespace wheelpit
