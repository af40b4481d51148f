#include "client/sdk/series_table.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "base/utf8.h"

namespace wheelpit {
namespace {

// Ref, value and their share of the columns, at most.
constexpr size_t kSampleBytesMax = 16;
constexpr uint64_t kCanonicalNan = 0x7ff8000000000001;

v1::GaugeMerge ToProto(Reporter::Merge merge) {
  switch (merge) {
    case Reporter::Merge::kSum:
      return v1::GAUGE_MERGE_SUM;
    case Reporter::Merge::kLast:
      return v1::GAUGE_MERGE_LAST;
    case Reporter::Merge::kMin:
      return v1::GAUGE_MERGE_MIN;
    case Reporter::Merge::kMax:
      return v1::GAUGE_MERGE_MAX;
    case Reporter::Merge::kAvg:
      return v1::GAUGE_MERGE_AVG;
    case Reporter::Merge::kCount:
      return v1::GAUGE_MERGE_COUNT;
    case Reporter::Merge::kDefault:
      break;
  }
  return v1::GAUGE_MERGE_UNSPECIFIED;
}

uint64_t ToBits(double value) {
  return std::isnan(value) ? kCanonicalNan : std::bit_cast<uint64_t>(value);
}

std::atomic<uint32_t> next_shard{0};  // Relaxed: only has to spread.

uint32_t ThisShard() {
  constexpr uint32_t kUnset = std::numeric_limits<uint32_t>::max();
  static thread_local uint32_t shard = kUnset;
  if (shard == kUnset) [[unlikely]]
    shard = next_shard.fetch_add(1, std::memory_order_relaxed);
  return shard;
}

}  // namespace

CounterCells::Cell& CounterCells::mine() { return cells[ThisShard() & mask]; }

uint64_t CounterCells::WholeSum() const {
  uint64_t sum = 0;
  for (uint32_t i = 0; i <= mask; ++i) sum += cells[i].whole.load(std::memory_order_relaxed);
  return sum;
}

double CounterCells::TakeFraction() {
  double sum = 0;
  for (uint32_t i = 0; i <= mask; ++i) {
    if (cells[i].fraction.load(std::memory_order_relaxed) != 0) {
      sum += cells[i].fraction.exchange(0, std::memory_order_relaxed);
    }
  }
  return sum;
}

void Reporter::Counter::Increment(uint64_t n) {
  if (cells_ != nullptr) cells_->mine().whole.fetch_add(n, std::memory_order_relaxed);
}

void Reporter::Counter::Add(double n) {
  if (cells_ == nullptr || !std::isfinite(n) || n < 0) return;
  cells_->mine().fraction.fetch_add(n, std::memory_order_relaxed);
}

void Reporter::Gauge::Set(double value) {
  if (cell_ != nullptr) cell_->bits.store(ToBits(value), std::memory_order_relaxed);
}

void Reporter::Gauge::Add(double delta) {
  if (cell_ == nullptr) return;
  uint64_t seen = cell_->bits.load(std::memory_order_relaxed);
  uint64_t wanted = 0;
  do {
    const double old = seen == GaugeCell::kAbsent ? 0 : std::bit_cast<double>(seen);
    wanted = ToBits(old + delta);
  } while (!cell_->bits.compare_exchange_weak(seen, wanted, std::memory_order_relaxed));
}

void Reporter::Gauge::Remove() {
  if (cell_ != nullptr) cell_->bits.store(GaugeCell::kAbsent, std::memory_order_relaxed);
}

absl::StatusOr<SeriesTable::SeriesState*> SeriesTable::AddLocked(const Reporter::SeriesSpec& spec,
                                                                 v1::MetricType type,
                                                                 v1::GaugeMerge merge) {
  if (spec.name.empty()) return absl::InvalidArgumentError("a series needs a name");
  if (!IsValidUtf8(spec.name) || !IsValidUtf8(spec.help) || !IsValidUtf8(spec.unit)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_METRIC_NAME",
                     absl::StrCat("metric ", Quoted(spec.name),
                                  ": name, help and unit must be valid UTF-8"));
  }
  for (const LabelPair& label : spec.labels) {
    if (IsValidUtf8(label.first) && IsValidUtf8(label.second)) continue;
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_LABEL_VALUE",
                     absl::StrCat("label ", Quoted(label.first), ": not valid UTF-8"));
  }
  Key key{spec.name, spec.labels};
  std::sort(key.second.begin(), key.second.end());
  for (size_t i = 1; i < key.second.size(); ++i) {
    if (key.second[i].first == key.second[i - 1].first) {
      return MakeError(absl::StatusCode::kInvalidArgument, "DUPLICATE_LABEL",
                       absl::StrCat("label ", Quoted(key.second[i].first), " appears twice"));
    }
  }
  auto& family = families_[spec.name];
  if (family == nullptr) {
    family = std::make_unique<FamilyState>();
    family->definition.set_name(spec.name);
    family->definition.set_type(type);
    family->definition.set_help(spec.help);
    family->definition.set_unit(spec.unit);
    family->definition.set_gauge_merge(merge);
  }
  if (family->definition.type() != type) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "TYPE_CONFLICT",
                     absl::StrCat("metric ", Quoted(spec.name), " is of another type here"));
  }
  const auto [ref, added] = refs_.try_emplace(key, static_cast<uint32_t>(series_.size()));
  if (added) {
    auto series = std::make_unique<SeriesState>();
    series->family = family.get();
    series->definition_bytes = spec.name.size() + spec.help.size() + spec.unit.size() + 32;
    for (const LabelPair& label : key.second) {
      series->definition_bytes += label.first.size() + label.second.size() + 8;
    }
    series->labels = std::move(key.second);
    series_.push_back(std::move(series));
  }
  return series_[ref->second].get();
}

absl::StatusOr<CounterCells*> SeriesTable::AddCounter(const Reporter::SeriesSpec& spec) {
  MutexLock lock(&mu_);
  WHEELPIT_ASSIGN_OR_RETURN(SeriesState * series,
                            AddLocked(spec, v1::METRIC_TYPE_COUNTER, v1::GAUGE_MERGE_UNSPECIFIED));
  if (series->counter == nullptr) series->counter = std::make_unique<CounterCells>(shards_);
  return series->counter.get();
}

absl::StatusOr<GaugeCell*> SeriesTable::AddGauge(const Reporter::SeriesSpec& spec,
                                                 Reporter::Merge merge) {
  MutexLock lock(&mu_);
  WHEELPIT_ASSIGN_OR_RETURN(SeriesState * series,
                            AddLocked(spec, v1::METRIC_TYPE_GAUGE, ToProto(merge)));
  if (series->gauge == nullptr) {
    series->gauge = std::make_unique<GaugeCell>();
    // A gauge without a value is no series yet.
    series->announce = false;
  }
  return series->gauge.get();
}

void SeriesTable::BeginStream() {
  MutexLock lock(&mu_);
  for (auto& [name, family] : families_) family->defined = false;
  for (auto& series : series_) series->defined = false;
}

void SeriesTable::AnnounceAll() {
  MutexLock lock(&mu_);
  for (auto& series : series_) {
    series->announce = series->counter != nullptr;
    series->sent_bits = GaugeCell::kAbsent;
  }
}

size_t SeriesTable::DefineLocked(uint32_t ref, v1::Batch* batch) {
  SeriesState& series = *series_[ref];
  if (series.defined) return 0;
  series.defined = true;
  if (!series.family->defined) {
    series.family->defined = true;
    *batch->add_families() = series.family->definition;
  }
  v1::SeriesDef* definition = batch->add_series();
  definition->set_ref(ref);
  definition->set_family(series.family->definition.name());
  for (const LabelPair& pair : series.labels) {
    v1::Label* label = definition->add_labels();
    label->set_name(pair.first);
    label->set_value(pair.second);
  }
  return series.definition_bytes;
}

uint32_t SeriesTable::AddSamplesLocked(uint32_t ref, v1::Batch* batch) {
  SeriesState& series = *series_[ref];
  uint32_t samples = 0;
  if (series.counter != nullptr) {
    // Sums wrap as the cells do, so the difference is right.
    const uint64_t sum = series.counter->WholeSum();
    if (sum != series.taken) {
      batch->add_counter_refs(ref);
      batch->add_counter_values(sum - series.taken);
      series.taken = sum;
      ++samples;
    }
    const double fraction = series.counter->TakeFraction();
    if (fraction > 0) {
      batch->add_fraction_refs(ref);
      batch->add_fraction_values(fraction);
      ++samples;
    }
  } else {
    const uint64_t bits = series.gauge->bits.load(std::memory_order_relaxed);
    if (bits != series.sent_bits) {
      series.sent_bits = bits;
      ++samples;
      if (bits == GaugeCell::kAbsent) {
        batch->add_gauge_removes(ref);
      } else {
        batch->add_gauge_refs(ref);
        batch->add_gauge_values(std::bit_cast<double>(bits));
      }
    }
  }
  return samples;
}

bool SeriesTable::Fill(const BatchLimits& limits, v1::Batch* batch) {
  MutexLock lock(&mu_);
  size_t bytes = 64;
  uint32_t samples = 0;
  for (; cursor_ < series_.size(); ++cursor_) {
    const auto ref = static_cast<uint32_t>(cursor_);
    SeriesState& series = *series_[ref];
    // One series makes at most two samples.
    if (samples + 2 > limits.samples_max && samples > 0) return true;
    if (bytes + series.definition_bytes + 2 * kSampleBytesMax > limits.bytes_max && bytes > 64) {
      return true;
    }
    const uint32_t added = AddSamplesLocked(ref, batch);
    if (added == 0 && !series.announce) continue;
    series.announce = false;
    samples += added;
    bytes += added * kSampleBytesMax + DefineLocked(ref, batch);
  }
  cursor_ = 0;
  return false;
}

void SeriesTable::Redefine(absl::Span<const uint32_t> announced, v1::Batch* batch) {
  MutexLock lock(&mu_);
  batch->clear_families();
  batch->clear_series();
  for (uint32_t ref : announced) DefineLocked(ref, batch);
  for (const auto* column : {&batch->counter_refs(), &batch->fraction_refs(), &batch->gauge_refs(),
                             &batch->gauge_removes()}) {
    for (uint32_t ref : *column) DefineLocked(ref, batch);
  }
}

std::string SeriesTable::Describe(uint32_t ref) const {
  MutexLock lock(&mu_);
  if (ref >= series_.size()) return absl::StrCat("ref ", ref);
  std::string text = series_[ref]->family->definition.name();
  const char* separator = "{";
  for (const LabelPair& label : series_[ref]->labels) {
    absl::StrAppendFormat(&text, "%s%s=\"%s\"", separator, label.first,
                          absl::Utf8SafeCEscape(label.second));
    separator = ",";
  }
  if (*separator == ',') text += "}";
  return text;
}

}  // namespace wheelpit
