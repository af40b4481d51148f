// The series store: every stored series with its total or value, its rings, and who feeds it. Counters only grow between two
// `created` values; identity is the full key, compared on hash match.
//
// The shard's engine thread writes (server/ingest); any thread reads through ReadLock. Readers see whole batches: a writer holds
// the lock over one record. A series whose defining record is not yet durable is pending: no reader sees it.
//
//   SeriesStore::ReadLock read(store);
//   for (const FamilyEntry* f : read.families()) for (SeriesId id : f->series) … read.series(id) …
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/sync.h"
#include "server/model/labels.h"
#include "server/model/metric.h"
#include "server/rates/rings.h"
#include "server/series/compact_vector.h"
#include "server/series/label_set.h"

namespace wheelpit {

// Place of a series in this process, dense, given in order of creation, never reused. 0 = none. Not on disk.
using SeriesId = uint32_t;
// Store-wide number of a reporter, as on disk; 0 = none (the queue's own series).
using ReporterNumber = uint32_t;

struct SeriesLimits {
  size_t metric_name_bytes_max = 256;
  size_t label_name_bytes_max = 128;
  size_t label_value_bytes_max = 1024;
  size_t labels_max = 32;
  size_t help_bytes_max = 1024;
  size_t series_per_reporter_max = 10'000;
  size_t series_per_family_max = 2'000'000;
  size_t series_max = 2'000'000;
  size_t families_max = 5'000;
  bool legacy_names = false;
  // A new series beyond a limit is folded into one of its family with the single label overflow="true" (counters only).
  bool overflow_series = false;
};

// How sure a value is (metrics 5.5).
enum class Freshness {
  kLive,     // a reporter that feeds it is LIVE or left drained, or the queue feeds it
  kPartial,  // some of the reporters that feed it are silent
  kUnknown,  // every reporter that feeds it is silent
};

// A counter's total: integral until the first fractional delta, then a compensated (Neumaier) double.
class CounterValue {
 public:
  bool is_double() const { return is_double_; }
  // The total while it is integral.
  uint64_t integral() const { return is_double_ ? 0 : integral_; }
  double AsDouble() const { return is_double_ ? sum_ + compensation_ : static_cast<double>(integral_); }
  void Add(uint64_t delta) {
    if (!is_double_ && !__builtin_add_overflow(integral_, delta, &integral_)) [[likely]] return;
    AddSlow(delta);
  }
  void AddFraction(double delta);
  // For checkpoints.
  double sum() const { return is_double_ ? sum_ : 0; }
  double compensation() const { return compensation_; }
  static CounterValue Integral(uint64_t total);
  static CounterValue Double(double sum, double compensation);

 private:
  void AddSlow(uint64_t delta);
  union {
    uint64_t integral_ = 0;
    double sum_;
  };
  double compensation_ = 0;
  bool is_double_ = false;
};

struct GaugeContribution {
  ReporterNumber reporter = 0;
  double value = 0;
};

struct Series {
  SeriesId id = 0;
  uint32_t family = 0;  // index into families
  int64_t created_ms = 0;
  int64_t changed_ms = 0;  // last change of the value; 0 = none
  CounterValue counter;
  double gauge = 0;              // merged
  std::unique_ptr<Rings> rings;  // counters, from their first change until an hour of zeros
  CompactVector<ReporterNumber> feeders;           // counters: the reporters that feed it
  CompactVector<GaugeContribution> contributions;  // gauges, newest last
  std::unique_ptr<char[]> packed_labels;
  uint32_t packed_labels_size = 0;
  uint32_t journal_id = 0;  // the number that REPORT records use for it; 0 = none of them has named it
  bool gauge_present = false;
  bool published = false;  // its first record is durable: readers see it
  bool gone = false;       // expired
  bool queue_fed = false;  // the queue's own or counted by submits
  bool pinned = false;     // lives with its queue: does not expire

  // Without the name; valid while the lock is held.
  LabelsView labels() const { return LabelsView({packed_labels.get(), packed_labels_size}); }
  // Growth over the window (counters); 0 without rings.
  double Increase(Window window) const { return rings == nullptr ? 0 : rings->IncreaseOverAsDouble(window); }
};

struct FamilyEntry {
  uint32_t index = 0;
  Family family;
  std::vector<SeriesId> series;  // published and not gone, in order of creation
  size_t series_made = 0;        // with the pending ones
  int64_t empty_since_ms = 0;    // 0 = it has series
};

class SeriesStore;

// Sees every change that a page or a registered query must follow. Called under the store's write lock, on the engine thread: record
// what changed, nothing more.
class SeriesListener {
 public:
  virtual ~SeriesListener() = default;
  virtual void SeriesCreated(const FamilyEntry& family, const Series& series) = 0;
  // The value (not the labels) changed, or a gauge appeared or vanished.
  virtual void SeriesChanged(const Series& series) = 0;
  // Many at once, each published; an id may come twice. By default SeriesChanged for each: override it where reports are hot.
  virtual void SeriesChangedMany(const SeriesStore& store, absl::Span<const SeriesId> ids);
  virtual void SeriesGone(const Series& series) = 0;
};

class SeriesStore {
 public:
  explicit SeriesStore(const SeriesLimits& limits);
  ~SeriesStore();

  // Shared; hold it briefly (below 1 ms, or copy): the engine waits for it.
  class ABSL_SCOPED_LOCKABLE ReadLock {
   public:
    explicit ReadLock(const SeriesStore& store) ABSL_SHARED_LOCK_FUNCTION(store.mu_);
    ~ReadLock() ABSL_UNLOCK_FUNCTION();
    ReadLock(const ReadLock&) = delete;
    ReadLock& operator=(const ReadLock&) = delete;
    // Null if there is no family of that name with a series.
    const FamilyEntry* family(absl::string_view name) const;
    // Those with a series, by name.
    std::vector<const FamilyEntry*> families() const;
    const FamilyEntry& family_at(uint32_t index) const;
    // `id` is in some family's `series`.
    const Series& series(SeriesId id) const;
    // Null if pending, gone or never given.
    const Series* find(SeriesId id) const;
    // Fetches what find(id) and its value will read. Any id.
    void Prefetch(SeriesId id) const;
    // Published and not gone.
    size_t series_count() const;
    // Larger than every id given so far.
    SeriesId id_end() const;
    // Of a series at `now_ms`, by the state of its reporters.
    Freshness freshness(const Series& series, int64_t now_ms) const;
    // Since when the store has known this history without a gap; windows that begin earlier are covered in part only.
    int64_t history_start_ms() const;

   private:
    const SeriesStore& store_;
  };

  // Excluding; the engine thread holds it over one record.
  class ABSL_SCOPED_LOCKABLE WriteLock {
   public:
    explicit WriteLock(SeriesStore* store) ABSL_EXCLUSIVE_LOCK_FUNCTION(store->mu_);
    ~WriteLock() ABSL_UNLOCK_FUNCTION();
    WriteLock(const WriteLock&) = delete;
    WriteLock& operator=(const WriteLock&) = delete;

   private:
    SeriesStore* const store_;
  };

  // --- engine thread; a WriteLock is held where not said otherwise ---

  // Without a lock. Against the limits; the reasons of the report errors (BAD_METRIC_NAME, BAD_LABEL_NAME, …).
  absl::Status CheckName(absl::string_view name) const;
  absl::Status CheckLabels(const std::vector<Labels::Pair>& labels, MetricType type) const;

  // The family of that name, made if new. Errors: TYPE_CONFLICT, NAME_CONFLICT, SERIES_LIMIT. Help or unit conflict: the first
  // wins. A family without series for an hour may change its type. `limited` = false: beyond families_max (recovery, the queue's).
  absl::StatusOr<uint32_t> FindOrAddFamily(const Family& family, int64_t now_ms, bool limited);
  // Without a lock.
  std::optional<uint32_t> FindFamily(absl::string_view name) const;
  const FamilyEntry& family_at(uint32_t index) const;

  // Without a lock. 0 if there is none; finds pending ones too.
  SeriesId Find(uint32_t family, const Labels& labels) const;
  // Made as pending if new. `limited` = false: beyond every limit (recovery, the queue's series). Errors: SERIES_LIMIT.
  absl::StatusOr<SeriesId> FindOrCreate(uint32_t family, const Labels& labels, int64_t now_ms, bool limited);
  // Its first record is durable; nothing if it is published already.
  void Publish(SeriesId id, int64_t created_ms);
  // A lock is not needed on the engine thread. `id` must be given and not freed.
  Series& at(SeriesId id) const;
  // Null if it was never given, or is gone and freed.
  Series* find(SeriesId id) const;

  // One record's growth of counters: published series, in step with `deltas`. `late` (may be null) += what was older than all rings.
  void AddToCounters(absl::Span<const SeriesId> ids, absl::Span<const uint64_t> deltas, const RingTime& time, int64_t now_ms,
                     uint64_t* late);
  void AddToCounter(SeriesId id, uint64_t delta, const RingTime& time, int64_t now_ms);
  void AddFraction(SeriesId id, double delta, const RingTime& time, int64_t now_ms);
  // A reporter's value replaces its last one. True if it had none.
  bool SetGauge(SeriesId id, ReporterNumber reporter, double value, int64_t now_ms);
  void RemoveGauge(SeriesId id, ReporterNumber reporter, int64_t now_ms);
  // From a checkpoint.
  void SetRings(SeriesId id, std::unique_ptr<Rings> rings);
  // The reporter feeds the series from now on. False if it did already.
  bool AttachReporter(SeriesId id, ReporterNumber reporter);

  // The key is free from here on: Find gives 0 and the next FindOrCreate another id. Readers still see it until Remove.
  void Detach(SeriesId id);
  // Detached or not: readers see it no more.
  void Remove(absl::Span<const SeriesId> ids, int64_t now_ms);
  // Gives back rings without counts. Looks at ids in [from, from + n); returns the next to look at, 0 after the last.
  SeriesId FreeIdleRings(SeriesId from, size_t n, int64_t now_ms);
  void SetHistoryStart(int64_t history_start_ms);

  enum class ReporterState : uint8_t { kForgotten, kLive, kDrained, kGone };
  // Freshness asks this; ingest keeps it. kLive: silent after `until_ms`. kDrained, kGone: left at `until_ms`.
  void SetReporter(ReporterNumber reporter, ReporterState state, int64_t until_ms);
  bool IsReporterActive(ReporterNumber reporter) const;

  // Listeners live as long as the store; add before the engine starts.
  void AddListener(SeriesListener* listener);
  const SeriesLimits& limits() const { return limits_; }

  struct Usage {
    size_t series = 0;
    size_t series_with_rings = 0;
    size_t families = 0;
    size_t ring_bytes = 0;
    size_t series_bytes = 0;
  };
  // Without a lock on the engine thread; series_bytes is an estimate.
  Usage usage() const;
  SeriesId id_end() const;

 private:
  struct Rep;

  const SeriesLimits limits_;
  mutable Mutex mu_;
  // Written on the engine thread under mu_.
  std::unique_ptr<Rep> rep_;
};

}  // namespace wheelpit
