// The real store, fold and ingest on a journal that survives them, and short words for what tests do with them.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/errors.h"
#include "base/metrics.h"
#include "server/ingest/counter_fold.h"
#include "server/ingest/report_ingest.h"
#include "server/journal/durable_queue.h"
#include "server/series/series_store.h"
#include "tests/unit/server/ingest/replayable_journal.h"

namespace wheelpit {

// One life of the aggregator.
class Process {
 public:
  Process(JournalDisk* disk, int64_t now, const SeriesLimits& limits = {}, const ReportIngestOptions& options = {},
          uint64_t history_id = 77)
      : journal(disk), store(limits), fold(CounterFold::Create(&store)),
        ingest(ReportIngest::Create(options, &journal, &durable, &store, fold.get())) {
    Fold* const folds[] = {fold.get()};
    const auto recovered = journal.Recover(folds, nullptr);
    EXPECT_TRUE(recovered.ok()) << recovered.status();
    fold->SetHistory(history_id, 0);
    EXPECT_TRUE(fold->RecoveryDone(now).ok());
  }

  void Commit() {
    journal.Commit();
    durable.Advance(journal.durable_lsn());
  }
  // All of it, as between batches nothing happens.
  void Checkpoint() {
    JournalDisk* disk = journal.disk();
    disk->checkpoint.clear();
    disk->checkpoint_begin = durable.advanced();
    fold->BeginCheckpoint();
    JournalDisk::Chunk chunk;
    chunk.fold = FoldId::kCounter;
    while (fold->NextChunk(&chunk.bytes, &chunk.as_of)) disk->checkpoint.push_back(chunk);
  }

  const Series* Find(absl::string_view name, const Labels& labels = {}) {
    const auto family = store.FindFamily(name);
    if (!family.has_value()) return nullptr;
    const SeriesId id = store.Find(*family, labels);
    if (id == 0) return nullptr;
    SeriesStore::ReadLock read(store);
    return read.find(id);
  }
  // -1 if there is no such series.
  double Total(absl::string_view name, const Labels& labels = {}) {
    const Series* s = Find(name, labels);
    return s == nullptr ? -1 : s->counter.AsDouble();
  }
  double Increase(absl::string_view name, int64_t now, int64_t window_ms, const Labels& labels = {}) {
    const Series* s = Find(name, labels);
    return s == nullptr ? -1 : s->Increase(WindowAt(now, window_ms));
  }
  std::optional<double> GaugeValue(absl::string_view name, const Labels& labels = {}) {
    const Series* s = Find(name, labels);
    if (s == nullptr || !s->gauge_present) return std::nullopt;
    return s->gauge;
  }
  Freshness FreshnessOf(absl::string_view name, int64_t now, const Labels& labels = {}) {
    const Series* s = Find(name, labels);
    SeriesStore::ReadLock read(store);
    return read.freshness(*s, now);
  }

  ReplayableJournal journal;
  DurableQueue durable;
  SeriesStore store;
  std::unique_ptr<CounterFold> fold;
  std::unique_ptr<ReportIngest> ingest;
};

// A batch that owns its columns.
struct TestBatch {
  uint64_t seq = 0;
  int64_t interval_ms = 0;
  int64_t age_ms = 0;
  std::vector<Family> families;
  std::vector<SeriesDefinition> series;
  std::vector<uint32_t> counter_refs;
  std::vector<uint64_t> counter_values;
  std::vector<uint32_t> fraction_refs;
  std::vector<double> fraction_values;
  std::vector<uint32_t> gauge_refs;
  std::vector<double> gauge_values;
  std::vector<uint32_t> gauge_removes;
  std::vector<std::pair<uint32_t, std::vector<uint64_t>>> subs;
  uint32_t unsupported = 0;

  TestBatch& Define(uint32_t ref, std::string family, std::vector<Labels::Pair> labels = {}) {
    series.push_back({ref, std::move(family), std::move(labels)});
    return *this;
  }
  TestBatch& Type(std::string name, MetricType type, GaugeMerge merge = GaugeMerge::kUnspecified) {
    Family f;
    f.name = std::move(name);
    f.type = type;
    f.gauge_merge = merge;
    families.push_back(f);
    return *this;
  }
  TestBatch& Count(uint32_t ref, uint64_t delta) {
    counter_refs.push_back(ref);
    counter_values.push_back(delta);
    return *this;
  }
  TestBatch& Fraction(uint32_t ref, double delta) {
    fraction_refs.push_back(ref);
    fraction_values.push_back(delta);
    return *this;
  }
  TestBatch& Gauge(uint32_t ref, double value) {
    gauge_refs.push_back(ref);
    gauge_values.push_back(value);
    return *this;
  }
  TestBatch& Age(int64_t ms) {
    age_ms = ms;
    return *this;
  }
  ReportBatch View() const {
    ReportBatch b;
    b.seq = seq;
    b.interval_ms = interval_ms;
    b.age_ms = age_ms;
    b.families = families;
    b.series = series;
    b.counter_refs = counter_refs;
    b.counter_values = counter_values;
    b.fraction_refs = fraction_refs;
    b.fraction_values = fraction_values;
    b.gauge_refs = gauge_refs;
    b.gauge_values = gauge_values;
    b.gauge_removes = gauge_removes;
    for (const auto& [ref, deltas] : subs) b.subs.push_back({ref, deltas});
    b.unsupported_samples = unsupported;
    b.encoded_bytes = 100;
    return b;
  }
};

inline TestBatch Batch(uint64_t seq) {
  TestBatch b;
  b.seq = seq;
  return b;
}

// What came of one Apply or Goodbye.
struct AckBox {
  std::optional<absl::StatusOr<BatchAck>> result;
  bool pending() const { return !result.has_value(); }
  bool ok() const { return result.has_value() && result->ok(); }
  std::string reason() const { return !result.has_value() || result->ok() ? "" : ErrorReason(result->status()); }
  std::string message() const { return !result.has_value() ? "" : std::string(result->status().message()); }
  const BatchAck& ack() const { return **result; }
};

// One stream of a reporter, as the rpc room holds it.
class TestStream {
 public:
  TestStream(Process* process, ReportHello hello, int64_t now) : process_(process) {
    auto opened = process->ingest->Open(hello, now, &outcome, [this](absl::Status s) { superseded = s; });
    status = opened.status();
    if (opened.ok()) stream = *std::move(opened);
  }
  std::shared_ptr<AckBox> Send(const TestBatch& batch, int64_t now) {
    auto box = std::make_shared<AckBox>();
    stream->Apply(batch.View(), now, [box](absl::StatusOr<BatchAck> ack) { box->result = std::move(ack); });
    return box;
  }
  // Sends, and makes durable.
  std::shared_ptr<AckBox> Apply(const TestBatch& batch, int64_t now) {
    auto box = Send(batch, now);
    process_->Commit();
    return box;
  }
  std::shared_ptr<AckBox> Goodbye(bool drained, int64_t now) {
    auto box = std::make_shared<AckBox>();
    stream->Goodbye(drained, now, [box](absl::StatusOr<BatchAck> ack) { box->result = std::move(ack); });
    process_->Commit();
    return box;
  }

  absl::Status status;
  absl::Status superseded;
  HelloOutcome outcome;
  std::unique_ptr<ReportStream> stream;

 private:
  Process* const process_;
};

inline ReportHello Hello(std::string id, uint64_t incarnation = 1, uint64_t acked_through = 0) {
  ReportHello h;
  h.reporter_id = std::move(id);
  h.incarnation = incarnation;
  h.acked_through = acked_through;
  return h;
}

}  // namespace wheelpit
