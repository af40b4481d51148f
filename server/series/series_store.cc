#include "server/series/series_store.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/errors.h"
#include "server/series/name_rules.h"
#include "server/series/probe.h"

namespace wheelpit {
namespace {

constexpr size_t kChunkSeries = 512;
constexpr size_t kCacheLine = 64;
// A family without series for so long may change its type.
constexpr int64_t kTypeKeptMs = 3'600'000;
// Allocator overhead and the index's share, for the estimate of usage().
constexpr size_t kIndexBytes = 11;
constexpr size_t kBlockBytes = 16;

struct Key {
  uint32_t family;
  absl::string_view packed;
};

absl::Status LimitError(absl::string_view which, size_t limit) {
  SeriesProbe::Get().LimitHit(which);
  return MakeError(absl::StatusCode::kResourceExhausted, "SERIES_LIMIT",
                   absl::StrCat("series limit ", which, "=", limit, " reached"));
}

}  // namespace

CounterValue CounterValue::Integral(uint64_t total) {
  CounterValue v;
  v.integral_ = total;
  return v;
}

CounterValue CounterValue::Double(double sum, double compensation) {
  CounterValue v;
  v.is_double_ = true;
  v.sum_ = sum;
  v.compensation_ = compensation;
  return v;
}

void CounterValue::AddFraction(double delta) {
  if (!is_double_) {
    const uint64_t integral = integral_;
    is_double_ = true;
    sum_ = 0;
    AddSlow(integral);
  }
  const double t = sum_ + delta;
  compensation_ += std::abs(sum_) >= std::abs(delta) ? (sum_ - t) + delta : (delta - t) + sum_;
  sum_ = t;
}

// In double, or the addition overflowed and wrapped.
void CounterValue::AddSlow(uint64_t delta) {
  if (!is_double_) integral_ -= delta;
  // Each half is exact in a double.
  const uint64_t low = delta & 0xffffffff;
  AddFraction(static_cast<double>(delta - low));
  AddFraction(static_cast<double>(low));
}

void SeriesListener::SeriesChangedMany(const SeriesStore& store, absl::Span<const SeriesId> ids) {
  for (const SeriesId id : ids) SeriesChanged(store.at(id));
}

struct SeriesStore::Rep {
  struct Chunk {
    std::array<Series, kChunkSeries> series;
    size_t dead = 0;
  };
  struct Hash {
    using is_transparent = void;
    const Rep* rep;
    size_t operator()(const Key& key) const {
      return absl::Hash<std::pair<uint32_t, absl::string_view>>{}({key.family, key.packed});
    }
    size_t operator()(SeriesId id) const { return (*this)(rep->KeyOf(id)); }
  };
  struct Equal {
    using is_transparent = void;
    const Rep* rep;
    bool operator()(SeriesId a, SeriesId b) const { return a == b; }
    bool operator()(SeriesId a, const Key& b) const {
      const Key key = rep->KeyOf(a);
      return key.family == b.family && key.packed == b.packed;
    }
    bool operator()(const Key& a, SeriesId b) const { return (*this)(b, a); }
  };
  struct ReporterSlot {
    int64_t until_ms = 0;
    ReporterState state = ReporterState::kForgotten;
  };

  Rep() : index(0, Hash{this}, Equal{this}) {}

  Series& At(SeriesId id) const { return chunks[id / kChunkSeries]->series[id % kChunkSeries]; }
  Key KeyOf(SeriesId id) const {
    const Series& s = At(id);
    return {s.family, {s.packed_labels.get(), s.packed_labels_size}};
  }
  absl::Status CheckCollisions(absl::string_view name, MetricType type) const;
  void Occupy(uint32_t family, int add);
  void MergeGauge(Series& s, int64_t now_ms);
  void Changed(const Series& s) {
    if (!s.published) return;
    for (SeriesListener* listener : listeners) listener->SeriesChanged(s);
  }
  Rings& RingsOf(Series& s) {
    if (s.rings == nullptr) {
      s.rings = std::make_unique<Rings>();
      ++series_with_rings;
    }
    return *s.rings;
  }
  void Discard(Series& s);

  std::vector<std::unique_ptr<Chunk>> chunks;
  SeriesId id_end = 1;  // 0 is no series
  size_t made = 0;      // pending ones too
  size_t published = 0;
  size_t series_with_rings = 0;
  size_t label_bytes = 0;
  absl::flat_hash_set<SeriesId, Hash, Equal> index;
  std::vector<std::unique_ptr<FamilyEntry>> families;
  std::map<std::string, uint32_t, std::less<>> family_by_name;
  // Names that lines of a family occupy besides its own -> that family and how many do.
  std::map<std::string, std::vector<uint32_t>, std::less<>> occupied;
  std::vector<ReporterSlot> reporters;
  std::vector<SeriesListener*> listeners;
  int64_t history_start_ms = 0;
};

SeriesStore::SeriesStore(const SeriesLimits& limits) : limits_(limits), rep_(std::make_unique<Rep>()) {
  SeriesProbe::Get();  // its series begin with 0
}
SeriesStore::~SeriesStore() = default;

SeriesStore::ReadLock::ReadLock(const SeriesStore& store) : store_(store) { store.mu_.ReaderLock(); }
SeriesStore::ReadLock::~ReadLock() { store_.mu_.ReaderUnlock(); }
SeriesStore::WriteLock::WriteLock(SeriesStore* store) : store_(store) { store->mu_.Lock(); }
SeriesStore::WriteLock::~WriteLock() { store_->mu_.Unlock(); }

const FamilyEntry* SeriesStore::ReadLock::family(absl::string_view name) const {
  const auto index = store_.FindFamily(name);
  if (!index.has_value()) return nullptr;
  const FamilyEntry& entry = store_.family_at(*index);
  return entry.series.empty() ? nullptr : &entry;
}

std::vector<const FamilyEntry*> SeriesStore::ReadLock::families() const {
  std::vector<const FamilyEntry*> out;
  for (const auto& [name, index] : store_.rep_->family_by_name) {
    const FamilyEntry& entry = store_.family_at(index);
    if (!entry.series.empty()) out.push_back(&entry);
  }
  return out;
}

const FamilyEntry& SeriesStore::ReadLock::family_at(uint32_t index) const { return store_.family_at(index); }
const Series& SeriesStore::ReadLock::series(SeriesId id) const { return store_.rep_->At(id); }
const Series* SeriesStore::ReadLock::find(SeriesId id) const {
  const Series* s = store_.find(id);
  return s == nullptr || !s->published || s->gone ? nullptr : s;
}
void SeriesStore::ReadLock::Prefetch(SeriesId id) const {
  if (id >= store_.rep_->id_end || store_.rep_->chunks[id / kChunkSeries] == nullptr) return;
  const char* at = reinterpret_cast<const char*>(&store_.rep_->At(id));
  for (size_t offset = 0; offset < sizeof(Series); offset += kCacheLine) __builtin_prefetch(at + offset);
}
size_t SeriesStore::ReadLock::series_count() const { return store_.rep_->published; }
SeriesId SeriesStore::ReadLock::id_end() const { return store_.rep_->id_end; }
int64_t SeriesStore::ReadLock::history_start_ms() const { return store_.rep_->history_start_ms; }

// What is known of a series comes from those who feed it now. With nobody left, whoever left last decides: a drained one said that
// nothing is missing, a lost one did not.
Freshness SeriesStore::ReadLock::freshness(const Series& series, int64_t now_ms) const {
  const auto& slots = store_.rep_->reporters;
  bool live = series.queue_fed, silent = false, left_drained = true, any = false;
  int64_t left_at = INT64_MIN;
  const auto look = [&](ReporterNumber number) {
    any = true;
    const Rep::ReporterSlot slot = number < slots.size() ? slots[number] : Rep::ReporterSlot{};
    if (slot.state == ReporterState::kLive) {
      (now_ms <= slot.until_ms ? live : silent) = true;
    } else if (slot.until_ms >= left_at) {
      left_at = slot.until_ms;
      left_drained = slot.state == ReporterState::kDrained;
    }
  };
  for (const ReporterNumber number : series.feeders) look(number);
  for (const GaugeContribution& c : series.contributions) look(c.reporter);
  if (live) return silent ? Freshness::kPartial : Freshness::kLive;
  if (silent) return Freshness::kUnknown;
  return any && left_drained ? Freshness::kLive : Freshness::kUnknown;
}

absl::Status SeriesStore::CheckName(absl::string_view name) const {
  const bool ok = !name.empty() && name.size() <= limits_.metric_name_bytes_max &&
                  (limits_.legacy_names ? IsLegacyMetricName(name) : IsValidUtf8(name));
  if (ok) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_METRIC_NAME",
                   absl::StrCat("invalid metric name ", Quoted(name)));
}

absl::Status SeriesStore::CheckLabels(const std::vector<Labels::Pair>& labels, MetricType type) const {
  const auto error = [](absl::string_view reason, std::string message) {
    return MakeError(absl::StatusCode::kInvalidArgument, reason, message);
  };
  if (labels.size() > limits_.labels_max) {
    return error("TOO_MANY_LABELS", absl::StrCat(labels.size(), " labels, limit ", limits_.labels_max));
  }
  for (const auto& [name, value] : labels) {
    const bool name_ok = !name.empty() && name.size() <= limits_.label_name_bytes_max &&
                         (limits_.legacy_names ? IsLegacyLabelName(name) : IsValidUtf8(name));
    if (!name_ok) return error("BAD_LABEL_NAME", absl::StrCat("invalid label name ", Quoted(name)));
    const bool reserved =
        absl::StartsWith(name, "__") ||
        (name == "le" && (type == MetricType::kHistogram || type == MetricType::kGaugeHistogram)) ||
        (name == "quantile" && type == MetricType::kSummary);
    if (reserved) return error("BAD_LABEL_NAME", absl::StrCat("label name ", Quoted(name), " is reserved"));
    if (value.size() > limits_.label_value_bytes_max) {
      return error("BAD_LABEL_VALUE", absl::StrCat("label ", Quoted(name), ": value exceeds ",
                                                   limits_.label_value_bytes_max, " bytes"));
    }
    if (!IsValidUtf8(value)) {
      return error("BAD_LABEL_VALUE", absl::StrCat("label ", Quoted(name), ": value is not valid UTF-8"));
    }
  }
  const std::string twice = FindDuplicateLabel(labels);
  if (!twice.empty()) return error("DUPLICATE_LABEL", absl::StrCat("label ", Quoted(twice), " appears twice"));
  return absl::OkStatus();
}

absl::Status SeriesStore::Rep::CheckCollisions(absl::string_view name, MetricType type) const {
  const auto collides = [&](absl::string_view other) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "NAME_CONFLICT",
                     absl::StrCat("metric ", Quoted(name), " collides with ", Quoted(other)));
  };
  for (const std::string& other : OccupiedNames(name, type)) {
    const auto it = family_by_name.find(other);
    if (it != family_by_name.end() && families[it->second]->series_made > 0) return collides(other);
  }
  const auto it = occupied.find(name);
  if (it == occupied.end()) return absl::OkStatus();
  for (const uint32_t holder : it->second) {
    if (families[holder]->series_made > 0) return collides(families[holder]->family.name);
  }
  return absl::OkStatus();
}

void SeriesStore::Rep::Occupy(uint32_t family, int add) {
  const Family& f = families[family]->family;
  for (std::string& name : OccupiedNames(f.name, f.type)) {
    auto& holders = occupied[name];
    if (add > 0) {
      holders.push_back(family);
    } else {
      holders.erase(std::remove(holders.begin(), holders.end(), family), holders.end());
      if (holders.empty()) occupied.erase(name);
    }
  }
}

absl::StatusOr<uint32_t> SeriesStore::FindOrAddFamily(const Family& family, int64_t now_ms, bool limited) {
  const auto it = rep_->family_by_name.find(family.name);
  if (it != rep_->family_by_name.end()) {
    FamilyEntry& entry = *rep_->families[it->second];
    const bool free = entry.series_made == 0 && now_ms >= entry.empty_since_ms + kTypeKeptMs;
    if (entry.family.type != family.type && !free) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "TYPE_CONFLICT",
                       absl::StrCat("metric ", Quoted(family.name), " is ", MetricTypeName(entry.family.type),
                                    ", reported as ", MetricTypeName(family.type)));
    }
    if (entry.series_made == 0) {
      if (auto status = rep_->CheckCollisions(family.name, family.type); !status.ok()) return status;
    }
    if (free) {
      rep_->Occupy(entry.index, -1);
      entry.family = family;
      rep_->Occupy(entry.index, +1);
    }
    return entry.index;
  }
  if (limited && rep_->families.size() >= limits_.families_max) return LimitError("families", limits_.families_max);
  if (auto status = rep_->CheckCollisions(family.name, family.type); !status.ok()) return status;
  const auto index = static_cast<uint32_t>(rep_->families.size());
  auto entry = std::make_unique<FamilyEntry>();
  entry->index = index;
  entry->family = family;
  entry->empty_since_ms = now_ms;
  rep_->families.push_back(std::move(entry));
  rep_->family_by_name.emplace(family.name, index);
  rep_->Occupy(index, +1);
  return index;
}

std::optional<uint32_t> SeriesStore::FindFamily(absl::string_view name) const {
  const auto it = rep_->family_by_name.find(name);
  if (it == rep_->family_by_name.end()) return std::nullopt;
  return it->second;
}

const FamilyEntry& SeriesStore::family_at(uint32_t index) const { return *rep_->families[index]; }

SeriesId SeriesStore::Find(uint32_t family, const Labels& labels) const {
  const std::string packed = PackLabels(labels);
  const auto it = rep_->index.find(Key{family, packed});
  return it == rep_->index.end() ? 0 : *it;
}

absl::StatusOr<SeriesId> SeriesStore::FindOrCreate(uint32_t family, const Labels& labels, int64_t now_ms, bool limited) {
  const std::string packed = PackLabels(labels);
  const auto it = rep_->index.find(Key{family, packed});
  if (it != rep_->index.end()) return *it;
  FamilyEntry& entry = *rep_->families[family];
  if (limited && rep_->made >= limits_.series_max) return LimitError("series", limits_.series_max);
  if (limited && entry.series_made >= limits_.series_per_family_max) {
    return LimitError("series_per_family", limits_.series_per_family_max);
  }
  const SeriesId id = rep_->id_end++;
  if (id / kChunkSeries >= rep_->chunks.size()) {
    rep_->chunks.push_back(std::make_unique<Rep::Chunk>());
    if (id < kChunkSeries) rep_->chunks.back()->dead = id;  // ids below the first
  }
  Series& s = rep_->At(id);
  s.id = id;
  s.family = family;
  s.created_ms = now_ms;
  s.packed_labels = std::make_unique_for_overwrite<char[]>(packed.size());
  std::copy(packed.begin(), packed.end(), s.packed_labels.get());
  s.packed_labels_size = static_cast<uint32_t>(packed.size());
  rep_->label_bytes += packed.size() + kBlockBytes;
  rep_->index.insert(id);
  ++rep_->made;
  ++entry.series_made;
  entry.empty_since_ms = 0;
  return id;
}

void SeriesStore::Publish(SeriesId id, int64_t created_ms) {
  Series& s = rep_->At(id);
  if (s.published || s.gone) return;
  s.published = true;
  s.created_ms = created_ms;
  FamilyEntry& entry = *rep_->families[s.family];
  entry.series.push_back(id);
  ++rep_->published;
  for (SeriesListener* listener : rep_->listeners) listener->SeriesCreated(entry, s);
}

Series& SeriesStore::at(SeriesId id) const { return rep_->At(id); }

Series* SeriesStore::find(SeriesId id) const {
  if (id == 0 || id >= rep_->id_end || rep_->chunks[id / kChunkSeries] == nullptr) return nullptr;
  return &rep_->At(id);
}

void SeriesStore::AddToCounters(absl::Span<const SeriesId> ids, absl::Span<const uint64_t> deltas, const RingTime& time,
                                int64_t now_ms, uint64_t* late) {
  // The series of one record lie anywhere in memory: fetch ahead.
  constexpr size_t kAhead = 8;
  const size_t n = ids.size();
  uint64_t older = 0;
  for (size_t i = 0; i < n; ++i) {
    if (i + 2 * kAhead < n) __builtin_prefetch(&rep_->At(ids[i + 2 * kAhead]), 1);
    if (i + kAhead < n) {
      if (const Rings* rings = rep_->At(ids[i + kAhead]).rings.get(); rings != nullptr) rings->Prefetch();
    }
    if (deltas[i] == 0) continue;
    Series& s = rep_->At(ids[i]);
    s.counter.Add(deltas[i]);
    s.changed_ms = now_ms;
    older += rep_->RingsOf(s).Add(deltas[i], time);
  }
  if (late != nullptr) *late += older;
  for (SeriesListener* listener : rep_->listeners) listener->SeriesChangedMany(*this, ids);
}

void SeriesStore::AddToCounter(SeriesId id, uint64_t delta, const RingTime& time, int64_t now_ms) {
  AddToCounters({&id, 1}, {&delta, 1}, time, now_ms, nullptr);
}

void SeriesStore::AddFraction(SeriesId id, double delta, const RingTime& time, int64_t now_ms) {
  if (delta == 0) return;
  Series& s = rep_->At(id);
  s.counter.AddFraction(delta);
  s.changed_ms = now_ms;
  rep_->RingsOf(s).AddFraction(delta, time);
  rep_->Changed(s);
}

void SeriesStore::Rep::MergeGauge(Series& s, int64_t now_ms) {
  s.changed_ms = now_ms;
  s.gauge_present = !s.contributions.empty();
  if (!s.gauge_present) {
    s.gauge = 0;
    Changed(s);
    return;
  }
  GaugeMerge merge = families[s.family]->family.gauge_merge;
  if (merge == GaugeMerge::kUnspecified) {
    const bool own = s.labels().Has("pod") || s.labels().Has("instance");
    merge = own ? GaugeMerge::kLast : GaugeMerge::kSum;
  }
  const auto count = static_cast<double>(s.contributions.size());
  double value = s.contributions[s.contributions.size() - 1].value;
  if (merge == GaugeMerge::kCount) {
    value = count;
  } else if (merge != GaugeMerge::kLast && count > 1) {
    value = s.contributions[0].value;
    for (size_t i = 1; i < s.contributions.size(); ++i) {
      const double v = s.contributions[i].value;
      if (merge == GaugeMerge::kMin) {
        value = std::fmin(value, v);
      } else if (merge == GaugeMerge::kMax) {
        value = std::fmax(value, v);
      } else {
        value += v;
      }
    }
    if (merge == GaugeMerge::kAvg) value /= count;
  }
  s.gauge = value;
  Changed(s);
}

bool SeriesStore::SetGauge(SeriesId id, ReporterNumber reporter, double value, int64_t now_ms) {
  Series& s = rep_->At(id);
  bool is_new = true;
  // Newest last, for the merge `last`.
  for (size_t i = 0; i < s.contributions.size() && is_new; ++i) {
    if (s.contributions[i].reporter != reporter) continue;
    is_new = false;
    if (i + 1 == s.contributions.size()) {
      s.contributions[i].value = value;
      rep_->MergeGauge(s, now_ms);
      return false;
    }
    s.contributions.erase(i);
  }
  s.contributions.push_back({reporter, value});
  rep_->MergeGauge(s, now_ms);
  return is_new;
}

void SeriesStore::RemoveGauge(SeriesId id, ReporterNumber reporter, int64_t now_ms) {
  Series& s = rep_->At(id);
  for (size_t i = 0; i < s.contributions.size(); ++i) {
    if (s.contributions[i].reporter != reporter) continue;
    s.contributions.erase(i);
    rep_->MergeGauge(s, now_ms);
    return;
  }
}

bool SeriesStore::AttachReporter(SeriesId id, ReporterNumber reporter) {
  Series& s = rep_->At(id);
  for (const ReporterNumber number : s.feeders) {
    if (number == reporter) return false;
  }
  // Whoever left long ago tells nothing while others feed the series: few stay, whatever comes and goes.
  constexpr size_t kFeedersKept = 16;
  if (s.feeders.size() >= kFeedersKept) {
    for (size_t i = s.feeders.size(); i-- > 0;) {
      if (!IsReporterActive(s.feeders[i])) s.feeders.erase(i);
    }
  }
  s.feeders.push_back(reporter);
  return true;
}

void SeriesStore::Detach(SeriesId id) {
  const auto it = rep_->index.find(id);
  if (it != rep_->index.end() && *it == id) rep_->index.erase(it);
}

void SeriesStore::Rep::Discard(Series& s) {
  if (s.rings != nullptr) --series_with_rings;
  label_bytes -= s.packed_labels_size + kBlockBytes;
  s.rings.reset();
  s.feeders.clear();
  s.contributions.clear();
  s.packed_labels.reset();
  s.packed_labels_size = 0;
}

void SeriesStore::Remove(absl::Span<const SeriesId> ids, int64_t now_ms) {
  absl::flat_hash_set<uint32_t> touched;
  for (const SeriesId id : ids) {
    Series& s = rep_->At(id);
    if (s.gone) continue;
    Detach(id);
    s.gone = true;
    FamilyEntry& entry = *rep_->families[s.family];
    --rep_->made;
    if (--entry.series_made == 0) entry.empty_since_ms = now_ms;
    if (s.published) {
      --rep_->published;
      touched.insert(s.family);
      for (SeriesListener* listener : rep_->listeners) listener->SeriesGone(s);
    }
  }
  for (const uint32_t family : touched) {
    auto& series = rep_->families[family]->series;
    series.erase(std::remove_if(series.begin(), series.end(), [&](SeriesId id) { return rep_->At(id).gone; }),
                 series.end());
  }
  for (const SeriesId id : ids) {
    auto& chunk = rep_->chunks[id / kChunkSeries];
    if (chunk == nullptr || chunk->series[id % kChunkSeries].packed_labels == nullptr) continue;
    rep_->Discard(chunk->series[id % kChunkSeries]);
    if (++chunk->dead == kChunkSeries) chunk.reset();
  }
}

SeriesId SeriesStore::FreeIdleRings(SeriesId from, size_t n, int64_t now_ms) {
  SeriesId id = std::max<SeriesId>(from, 1);
  for (; n > 0 && id < rep_->id_end; --n, ++id) {
    Series* s = find(id);
    if (s == nullptr || s->rings == nullptr || !s->rings->Expired(now_ms)) continue;
    s->rings.reset();
    --rep_->series_with_rings;
  }
  return id < rep_->id_end ? id : 0;
}

void SeriesStore::SetRings(SeriesId id, std::unique_ptr<Rings> rings) {
  Series& s = rep_->At(id);
  if (s.rings == nullptr) ++rep_->series_with_rings;
  s.rings = std::move(rings);
}

void SeriesStore::SetHistoryStart(int64_t history_start_ms) { rep_->history_start_ms = history_start_ms; }

void SeriesStore::SetReporter(ReporterNumber reporter, ReporterState state, int64_t until_ms) {
  if (reporter >= rep_->reporters.size()) rep_->reporters.resize(reporter + size_t{1});
  rep_->reporters[reporter] = {until_ms, state};
}

bool SeriesStore::IsReporterActive(ReporterNumber reporter) const {
  return reporter < rep_->reporters.size() && rep_->reporters[reporter].state == ReporterState::kLive;
}

void SeriesStore::AddListener(SeriesListener* listener) { rep_->listeners.push_back(listener); }

SeriesStore::Usage SeriesStore::usage() const {
  Usage u;
  u.series = rep_->published;
  u.series_with_rings = rep_->series_with_rings;
  for (const auto& entry : rep_->families) u.families += entry->series.empty() ? 0 : 1;
  u.ring_bytes = rep_->series_with_rings * (sizeof(Rings) + kBlockBytes);
  u.series_bytes = rep_->made * (sizeof(Series) + kIndexBytes + sizeof(SeriesId)) + rep_->label_bytes;
  return u;
}

SeriesId SeriesStore::id_end() const { return rep_->id_end; }

}  // namespace wheelpit
