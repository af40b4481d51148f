// The reporter's series: cells that any thread adds to, and what the flush thread has taken out of
// them.
//
//   CounterCells* cells = *table.AddCounter(spec);        // any thread
//   cells->Increment(1);                                  // any thread, lock-free
//   table.BeginStream();                                  // flush thread from here on
//   while (table.Fill(limits, &batch)) …                  // deltas since the last time, in batches
//
// What was taken for a batch is the batch's: the table never gives it out again.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/sync.h"
#include "client/sdk/reporter.h"
#include "wheelpit/v1/report.pb.h"

namespace wheelpit {

// A counter as one cache line per group of threads.
struct CounterCells {
  struct alignas(64) Cell {
    // Relaxed: Flush orders increments before the reading by a mutex; otherwise any order will do.
    std::atomic<uint64_t> whole{0};
    std::atomic<double> fraction{0};
  };
  explicit CounterCells(uint32_t shards) : mask(shards - 1), cells(new Cell[shards]) {}

  Cell& mine();
  uint64_t WholeSum() const;
  // The fractions since the last call.
  double TakeFraction();

  const uint32_t mask;
  const std::unique_ptr<Cell[]> cells;
};

struct GaugeCell {
  // The wire's stale marker stands for "no value".
  static constexpr uint64_t kAbsent = 0x7ff0000000000002;
  // Relaxed: a gauge is one independent value.
  std::atomic<uint64_t> bits{kAbsent};
};

struct BatchLimits {
  uint32_t samples_max = 10'000;
  size_t bytes_max = 1 << 20;
};

// Thread-safe.
class SeriesTable {
 public:
  // `shards`: a power of two.
  explicit SeriesTable(uint32_t shards) : shards_(shards) {}

  absl::StatusOr<CounterCells*> AddCounter(const Reporter::SeriesSpec& spec);
  absl::StatusOr<GaugeCell*> AddGauge(const Reporter::SeriesSpec& spec, Reporter::Merge merge);

  // A new stream knows no definitions.
  void BeginStream();
  // The aggregator lost its state: every series is announced again, every gauge is sent again.
  void AnnounceAll();
  // Adds what changed to `batch`, with the definitions that the stream lacks. True: the limits cut
  // it short, and the next call goes on from there; false: this was the last part.
  bool Fill(const BatchLimits& limits, v1::Batch* batch);
  // Replaces the definitions in `batch` by those that the stream lacks of the series it carries and
  // of `announced`.
  void Redefine(absl::Span<const uint32_t> announced, v1::Batch* batch);
  // `name{label="value"}`.
  std::string Describe(uint32_t ref) const;
  size_t size() const {
    MutexLock lock(&mu_);
    return series_.size();
  }

 private:
  struct FamilyState {
    v1::FamilyDef definition;
    bool defined = false;  // on this stream
  };
  struct SeriesState {
    FamilyState* family = nullptr;
    std::vector<LabelPair> labels;
    std::unique_ptr<CounterCells> counter;
    std::unique_ptr<GaugeCell> gauge;
    uint64_t taken = 0;  // of the counter
    uint64_t sent_bits = GaugeCell::kAbsent;
    bool defined = false;  // on this stream
    bool announce = true;  // define it even without a sample
    size_t definition_bytes = 0;
  };
  using Key = std::pair<std::string, std::vector<LabelPair>>;

  absl::StatusOr<SeriesState*> AddLocked(const Reporter::SeriesSpec& spec, v1::MetricType type,
                                         v1::GaugeMerge merge) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Returns the bytes that it added.
  size_t DefineLocked(uint32_t ref, v1::Batch* batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint32_t AddSamplesLocked(uint32_t ref, v1::Batch* batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const uint32_t shards_;
  mutable Mutex mu_;
  std::map<std::string, std::unique_ptr<FamilyState>> families_ ABSL_GUARDED_BY(mu_);
  // The ref of a series is its place here, for the reporter's life.
  std::vector<std::unique_ptr<SeriesState>> series_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<Key, uint32_t> refs_ ABSL_GUARDED_BY(mu_);
  size_t cursor_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace wheelpit
