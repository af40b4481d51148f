// The counter fold's part of a checkpoint. Chunks, each led by its kind: one of what is global, then reporters, then series, so
// that a loaded series finds the reporters that feed it. Numbers are varints; the frame around a chunk has the checksum.
#include <algorithm>
#include <limits>
#include <utility>

#include "base/errors.h"
#include "base/varint.h"
#include "server/ingest/counter_fold_impl.h"

namespace wheelpit {
namespace {

enum ChunkKind : uint64_t { kMetaChunk = 1, kReporterChunk = 2, kSeriesChunk = 3 };
constexpr uint64_t kFormat = 1;
constexpr SeriesId kSeriesPerChunk = 512;
constexpr size_t kReportersPerChunk = 4096;
// Cumulative values make a reporter long.
constexpr size_t kReporterChunkBytes = 400'000;

constexpr uint64_t kNoFlags = 0;
// Of a series.
constexpr uint64_t kDoubleTotal = 1, kQueueFed = 2, kPinned = 4, kHasRings = 8;
// Of a reporter.
constexpr uint64_t kFromZero = 1, kHasCumulative = 2;

absl::Status Corrupt() {
  return MakeError(absl::StatusCode::kDataLoss, "CORRUPT", "a chunk of the counters' checkpoint does not parse");
}

template <typename T>
bool GetNumber(absl::string_view* in, T* out) {
  uint64_t v;
  if (!GetVarint(in, &v) || v > static_cast<uint64_t>(std::numeric_limits<T>::max())) return false;
  *out = static_cast<T>(v);
  return true;
}

void PutFamily(const Family& family, std::string* out) {
  PutBytes(family.name, out);
  PutVarint(static_cast<uint64_t>(family.type), out);
  PutBytes(family.help, out);
  PutBytes(family.unit, out);
  PutVarint(static_cast<uint64_t>(family.gauge_merge), out);
  PutVarint(family.bucket_bounds.size(), out);
  for (const double bound : family.bucket_bounds) PutDouble(bound, out);
}

bool GetFamily(absl::string_view* in, Family* family) {
  absl::string_view name, help, unit;
  uint64_t type, merge, bounds;
  if (!GetBytes(in, &name) || !GetVarint(in, &type) || !GetBytes(in, &help) || !GetBytes(in, &unit) || !GetVarint(in, &merge) ||
      !GetVarint(in, &bounds) || bounds > in->size() / sizeof(double)) {
    return false;
  }
  family->name = std::string(name);
  family->type = static_cast<MetricType>(type);
  family->help = std::string(help);
  family->unit = std::string(unit);
  family->gauge_merge = static_cast<GaugeMerge>(merge);
  family->bucket_bounds.resize(bounds);
  for (double& bound : family->bucket_bounds) {
    if (!GetDouble(in, &bound)) return false;
  }
  return true;
}

// A number that only a record under way gives to the series comes again with it, or never.
void PutSeries(const Series& s, JournalSeriesId ids_folded, std::string* out) {
  PutVarint(s.journal_id < ids_folded ? s.journal_id : 0, out);
  PutSigned(s.created_ms, out);
  PutSigned(s.changed_ms, out);
  PutVarint((s.counter.is_double() ? kDoubleTotal : kNoFlags) | (s.queue_fed ? kQueueFed : kNoFlags) | (s.pinned ? kPinned : kNoFlags) |
                (s.rings != nullptr ? kHasRings : kNoFlags),
            out);
  PutBytes(s.labels().packed(), out);
  if (s.counter.is_double()) {
    PutDouble(s.counter.sum(), out);
    PutDouble(s.counter.compensation(), out);
  } else {
    PutVarint(s.counter.integral(), out);
  }
  PutVarint(s.feeders.size(), out);
  for (const ReporterNumber number : s.feeders) PutVarint(number, out);
  PutVarint(s.contributions.size(), out);
  for (const GaugeContribution& c : s.contributions) {
    PutVarint(c.reporter, out);
    PutDouble(c.value, out);
  }
  if (s.rings != nullptr) s.rings->EncodeTo(out);
}

void PutProgress(const Reporter& r, std::string* out) {
  PutVarint(r.number, out);
  PutBytes(r.id, out);
  PutVarint(r.folded.incarnation, out);
  PutVarint(r.folded.seq, out);
  PutVarint((r.folded.from_zero ? kFromZero : kNoFlags) | (r.cumulative_folded != nullptr ? kHasCumulative : kNoFlags), out);
  PutVarint(static_cast<uint64_t>(r.state), out);
  PutSigned(r.left_ms, out);
  PutSigned(r.heard_ms, out);
  PutSigned(r.interval_ms, out);
}

void PutReporter(const Reporter& r, std::string* out) {
  PutProgress(r, out);
  // What is appended but not folded comes again in replay.
  std::vector<std::pair<uint64_t, uint32_t>> crcs;
  if (r.appended.incarnation == r.folded.incarnation) {
    for (const auto& [seq, crc] : r.content.crcs()) {
      if (seq != 0 && seq <= r.folded.seq) crcs.emplace_back(seq, crc);
    }
  }
  PutVarint(crcs.size(), out);
  for (const auto& [seq, crc] : crcs) {
    PutVarint(seq, out);
    PutVarint(crc, out);
  }
  if (r.cumulative_folded == nullptr) return;
  PutVarint(r.cumulative_folded->size(), out);
  for (const auto& [key, value] : *r.cumulative_folded) {
    PutVarint(key, out);
    PutVarint(value.is_double ? 1 : 0, out);
    if (value.is_double) {
      PutDouble(value.fraction, out);
    } else {
      PutVarint(value.integral, out);
    }
  }
}

bool GetCumulative(absl::string_view* in, CumulativeValues* out) {
  uint64_t n;
  if (!GetVarint(in, &n)) return false;
  for (; n > 0; --n) {
    uint64_t key, is_double;
    CumulativeValue value;
    if (!GetVarint(in, &key) || !GetVarint(in, &is_double)) return false;
    value.is_double = is_double != 0;
    if (value.is_double ? !GetDouble(in, &value.fraction) : !GetVarint(in, &value.integral)) return false;
    (*out)[key] = value;
  }
  return true;
}

bool GetReporter(absl::string_view* in, Reporter* r) {
  uint64_t flags, state, crcs;
  if (!GetVarint(in, &r->folded.incarnation) || !GetVarint(in, &r->folded.seq) || !GetVarint(in, &flags) || !GetVarint(in, &state) ||
      state > static_cast<uint64_t>(SeriesStore::ReporterState::kGone) || !GetSigned(in, &r->left_ms) ||
      !GetSigned(in, &r->heard_ms) || !GetSigned(in, &r->interval_ms) || !GetVarint(in, &crcs)) {
    return false;
  }
  r->folded.from_zero = (flags & kFromZero) != 0;
  r->state = static_cast<SeriesStore::ReporterState>(state);
  for (; crcs > 0; --crcs) {
    uint64_t seq;
    uint32_t crc;
    if (!GetVarint(in, &seq) || !GetNumber(in, &crc)) return false;
    r->content.Set(seq, crc);
  }
  if ((flags & kHasCumulative) == 0) return true;
  r->cumulative_folded = std::make_unique<CumulativeValues>();
  return GetCumulative(in, r->cumulative_folded.get());
}

}  // namespace

void CounterFoldImpl::BeginCheckpoint() { cursor_ = {}; }

bool CounterFoldImpl::NextChunk(std::string* bytes, Lsn* as_of) {
  bytes->clear();
  *as_of = folded_lsn_;
  if (!cursor_.meta_done) {
    EncodeMeta(bytes);
    cursor_.meta_done = true;
    return true;
  }
  while (bytes->empty() && !cursor_.reporters_done) EncodeReporters(bytes);
  while (bytes->empty() && cursor_.series < store_->id_end()) EncodeSeries(bytes);
  return !bytes->empty();
}

void CounterFoldImpl::EncodeMeta(std::string* out) const {
  PutVarint(kMetaChunk, out);
  PutVarint(kFormat, out);
  PutVarint(history_id_, out);
  PutSigned(history_start_ms_, out);
  PutVarint(next_journal_id_, out);
  PutVarint(reporters_.next_number(), out);
  PutSigned(last_at_ms_, out);
}

void CounterFoldImpl::EncodeReporters(std::string* out) {
  std::string body;
  size_t n = 0;
  const auto& reporters = reporters_.by_number();
  auto it = reporters.upper_bound(cursor_.reporter);
  for (; it != reporters.end() && n < kReportersPerChunk && body.size() < kReporterChunkBytes; ++it) {
    cursor_.reporter = it->first;
    if (it->second->folded.incarnation == 0) continue;
    PutReporter(*it->second, &body);
    ++n;
  }
  cursor_.reporters_done = it == reporters.end();
  if (n == 0) return;
  PutVarint(kReporterChunk, out);
  PutVarint(n, out);
  out->append(body);
}

void CounterFoldImpl::EncodeSeries(std::string* out) {
  std::string families, body;
  absl::flat_hash_map<uint32_t, uint64_t> family_place;
  uint64_t n = 0;
  const SeriesId end = std::min(store_->id_end(), cursor_.series + kSeriesPerChunk);
  for (; cursor_.series < end; ++cursor_.series) {
    const Series* s = store_->find(cursor_.series);
    if (s == nullptr || !s->published || s->gone) continue;
    const auto [place, is_new] = family_place.try_emplace(s->family, family_place.size());
    if (is_new) PutFamily(store_->family_at(s->family).family, &families);
    PutVarint(place->second, &body);
    PutSeries(*s, journal_ids_folded_, &body);
    ++n;
  }
  if (n == 0) return;
  PutVarint(kSeriesChunk, out);
  PutVarint(family_place.size(), out);
  out->append(families);
  PutVarint(n, out);
  out->append(body);
}

absl::Status CounterFoldImpl::LoadChunk(Lsn as_of, absl::string_view bytes) {
  uint64_t kind;
  if (!GetVarint(&bytes, &kind)) return Corrupt();
  folded_lsn_ = std::max(folded_lsn_, as_of);
  chunks_as_of_max_ = std::max(chunks_as_of_max_, as_of);
  switch (kind) {
    case kMetaChunk:
      return LoadMeta(as_of, bytes);
    case kReporterChunk:
      return LoadReporters(as_of, bytes);
    case kSeriesChunk:
      return LoadSeries(as_of, bytes);
    default:
      return Corrupt();
  }
}

absl::Status CounterFoldImpl::LoadMeta(Lsn, absl::string_view in) {
  uint64_t format, history_id;
  int64_t history_start_ms;
  JournalSeriesId next_journal_id;
  ReporterNumber next_reporter;
  if (!GetVarint(&in, &format) || format != kFormat || !GetVarint(&in, &history_id) || !GetSigned(&in, &history_start_ms) ||
      !GetNumber(&in, &next_journal_id) || !GetNumber(&in, &next_reporter) || !GetSigned(&in, &last_at_ms_)) {
    return Corrupt();
  }
  next_journal_id_ = std::max(next_journal_id_, next_journal_id);
  reporters_.RaiseNextNumber(next_reporter);
  SetHistory(history_id, history_start_ms);
  return absl::OkStatus();
}

absl::Status CounterFoldImpl::LoadReporters(Lsn as_of, absl::string_view in) {
  uint64_t n;
  if (!GetVarint(&in, &n)) return Corrupt();
  SeriesStore::WriteLock lock(store_);
  for (; n > 0; --n) {
    ReporterNumber number;
    absl::string_view id;
    if (!GetNumber(&in, &number) || number == 0 || !GetBytes(&in, &id)) return Corrupt();
    Reporter& reporter = reporters_.Restore(number, id);
    if (!GetReporter(&in, &reporter)) return Corrupt();
    reporter.as_of = as_of;
    SetReporterState(&reporter, reporter.state, reporter.left_ms);
  }
  return in.empty() ? absl::OkStatus() : Corrupt();
}

absl::Status CounterFoldImpl::LoadSeries(Lsn as_of, absl::string_view in) {
  uint64_t family_count, n;
  if (!GetVarint(&in, &family_count)) return Corrupt();
  SeriesStore::WriteLock lock(store_);
  std::vector<uint32_t> families;
  for (; family_count > 0; --family_count) {
    Family family;
    if (!GetFamily(&in, &family)) return Corrupt();
    auto index = store_->FindOrAddFamily(family, 0, /*limited=*/false);
    if (!index.ok()) return Corrupt();
    families.push_back(*index);
  }
  if (!GetVarint(&in, &n)) return Corrupt();
  for (; n > 0; --n) {
    uint64_t place;
    if (!GetVarint(&in, &place) || place >= families.size() || !LoadOneSeries(as_of, families[place], &in)) return Corrupt();
  }
  return in.empty() ? absl::OkStatus() : Corrupt();
}

bool CounterFoldImpl::LoadOneSeries(Lsn as_of, uint32_t family, absl::string_view* in) {
  JournalSeriesId journal_id;
  int64_t created_ms, changed_ms;
  uint64_t flags, integral, feeders, contributions;
  absl::string_view packed;
  if (!GetNumber(in, &journal_id) || !GetSigned(in, &created_ms) || !GetSigned(in, &changed_ms) || !GetVarint(in, &flags) ||
      !GetBytes(in, &packed) || !IsPackedLabels(packed)) {
    return false;
  }
  const Labels labels = LabelsView(packed).ToLabels();
  if (const SeriesId older = store_->Find(family, labels); older != 0) {
    // It expired after its chunk was taken, and began anew before this one was.
    journal_series_.erase(store_->at(older).journal_id);
    store_->Remove({&older, 1}, created_ms);
  }
  const auto id = store_->FindOrCreate(family, labels, created_ms, /*limited=*/false);
  if (!id.ok()) return false;
  Series& s = store_->at(*id);
  s.journal_id = journal_id;
  next_journal_id_ = std::max(next_journal_id_, journal_id + 1);
  journal_ids_folded_ = std::max(journal_ids_folded_, journal_id + 1);
  s.changed_ms = changed_ms;
  s.queue_fed = (flags & kQueueFed) != 0;
  s.pinned = (flags & kPinned) != 0;
  if ((flags & kDoubleTotal) != 0) {
    double sum, compensation;
    if (!GetDouble(in, &sum) || !GetDouble(in, &compensation)) return false;
    s.counter = CounterValue::Double(sum, compensation);
  } else {
    if (!GetVarint(in, &integral)) return false;
    s.counter = CounterValue::Integral(integral);
  }
  if (!GetVarint(in, &feeders)) return false;
  for (; feeders > 0; --feeders) {
    ReporterNumber number;
    if (!GetNumber(in, &number)) return false;
    store_->AttachReporter(*id, number);
  }
  if (!GetVarint(in, &contributions)) return false;
  for (; contributions > 0; --contributions) {
    ReporterNumber number;
    double value;
    if (!GetNumber(in, &number) || !GetDouble(in, &value)) return false;
    store_->SetGauge(*id, number, value, changed_ms);
    loaded_gauges_[number].push_back(*id);
  }
  if ((flags & kHasRings) != 0) {
    auto rings = std::make_unique<Rings>();
    if (!Rings::Decode(in, rings.get())) return false;
    store_->SetRings(*id, std::move(rings));
  }
  if (journal_id != 0) journal_series_[journal_id] = *id;
  SetAsOf(*id, as_of);
  store_->Publish(*id, created_ms);
  return true;
}

}  // namespace wheelpit
