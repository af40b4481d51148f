// The series store: every stored series with its total or value, its rings, and who feeds it. Counters only grow between two
// `created` values; identity is the full key, compared on hash match.
//
// The shard's engine thread writes (the counter fold); any thread reads through ReadLock. Readers see whole batches: a writer holds
// the lock over one record.
//
//   SeriesStore::ReadLock read(store);
//   for (const FamilyEntry* f : read.families()) for (SeriesId id : f->series) … read.series(id) …
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/sync.h"
#include "server/model/labels.h"
#include "server/model/metric.h"
#include "server/rates/rings.h"

namespace wheelpit {

// Store-wide, dense, given in order of creation, never reused in one history. 0 = none.
using SeriesId = uint32_t;
// Store-wide number of a reporter; 0 = none (the queue's own series).
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
};

// How sure a value is (metrics 5.5).
enum class Freshness {
  kLive,     // a reporter that feeds it is LIVE or left drained, or the queue feeds it
  kPartial,  // some of the reporters that feed it are silent
  kUnknown,  // every reporter that feeds it is silent
};

// A counter's total: integral until the first fractional delta, then compensated double.
struct CounterValue {
  uint64_t integral = 0;
  double fraction = 0;
  double compensation = 0;
  bool is_double = false;
  double AsDouble() const { return is_double ? fraction + compensation : static_cast<double>(integral); }
};

struct GaugeContribution {
  ReporterNumber reporter = 0;
  double value = 0;
};

struct Series {
  SeriesId id = 0;
  uint32_t family = 0;  // index into families
  Labels labels;        // without the name
  int64_t created_ms = 0;
  int64_t changed_ms = 0;  // last change of the value
  CounterValue counter;
  double gauge = 0;        // merged
  bool gauge_present = false;
  std::vector<GaugeContribution> contributions;
  std::unique_ptr<Rings> rings;             // counters, from their first change
  std::vector<ReporterNumber> reporters;    // who feeds it, few
  uint64_t as_of = 0;                       // lsn: replay applies only later records (0 once recovery is done)
  bool gone = false;                        // expired; the slot is never reused
};

struct FamilyEntry {
  uint32_t index = 0;
  Family family;
  std::vector<SeriesId> series;  // in creation order
};

// Sees every change that a page or a registered query must follow. Called under the store's write lock, on the engine thread: record
// what changed, nothing more.
class SeriesListener {
 public:
  virtual ~SeriesListener() = default;
  virtual void SeriesCreated(const FamilyEntry& family, const Series& series) = 0;
  // The value (not the labels) changed, or a gauge appeared or vanished.
  virtual void SeriesChanged(const Series& series) = 0;
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
    // Null if the family does not exist.
    const FamilyEntry* family(absl::string_view name) const;
    // By name.
    std::vector<const FamilyEntry*> families() const;
    const FamilyEntry& family_at(uint32_t index) const;
    const Series& series(SeriesId id) const;
    size_t series_count() const;
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
    SeriesStore* operator->() const { return store_; }

   private:
    SeriesStore* const store_;
  };

  // --- writers: engine thread ---
  // Validates names and labels against the limits; the reasons of the report errors (BAD_METRIC_NAME, …).
  absl::Status CheckName(absl::string_view name) const;
  absl::Status CheckLabels(const std::vector<Labels::Pair>& labels) const;
  // The family of that name, made if new. Errors: TYPE_CONFLICT, NAME_CONFLICT, SERIES_LIMIT. Help or unit conflict: the first wins.
  absl::StatusOr<uint32_t> FindOrAddFamily(const Family& family);
  // 0 if there is none.
  SeriesId Find(absl::string_view family, const Labels& labels) const;
  // Errors: SERIES_LIMIT.
  absl::StatusOr<SeriesId> FindOrCreate(uint32_t family, const Labels& labels, int64_t now_ms);
  // Creates the series under a given id (replay, checkpoint).
  absl::Status Restore(SeriesId id, uint32_t family, const Labels& labels, int64_t created_ms);
  Series* mutable_series(SeriesId id);
  void AddToCounter(SeriesId id, uint64_t delta, int64_t event_ms, int64_t interval_ms, int64_t now_ms);
  void AddFraction(SeriesId id, double delta, int64_t event_ms, int64_t interval_ms, int64_t now_ms);
  void SetGauge(SeriesId id, ReporterNumber reporter, double value, int64_t now_ms);
  void RemoveGauge(SeriesId id, ReporterNumber reporter, int64_t now_ms);
  // The reporter feeds the series from now on.
  void AttachReporter(SeriesId id, ReporterNumber reporter);
  void Remove(SeriesId id);
  void SetHistoryStart(int64_t history_start_ms);

  enum class ReporterState { kLive, kSilent, kDrained, kGone };
  // Freshness asks this; ingest keeps it. `live_until_ms`: becomes SILENT after it unless heard of.
  void SetReporter(ReporterNumber reporter, ReporterState state, int64_t live_until_ms);

  // Listeners live as long as the store; add before the engine starts.
  void AddListener(SeriesListener* listener);
  const SeriesLimits& limits() const { return limits_; }

  mutable Mutex mu_;

 private:
  struct Rep;
  const SeriesLimits limits_;
  std::unique_ptr<Rep> rep_;
};

}  // namespace wheelpit
