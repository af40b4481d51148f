// The counter fold as ReportIngest sees it: the table of reporters, and the live entry that needs no record.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "server/ingest/counter_fold.h"
#include "server/ingest/probe.h"
#include "server/ingest/queue_series.h"
#include "server/ingest/record_codec.h"
#include "server/ingest/reporter_table.h"
#include "server/series/series_store.h"

namespace wheelpit {

// A REPORT with its series resolved to places in the store: what live ingest keeps until the record is durable, and what replay
// makes of a record.
struct ReportEffect {
  struct Sub {
    SeriesId id;
    std::vector<uint64_t> deltas;  // per second, oldest first
  };
  struct Cumulative {
    uint64_t key_hash;
    CumulativeValue value;
  };
  ReportHeader header;
  std::vector<SeriesId> defined;  // by this record
  std::vector<SeriesId> counters;
  std::vector<uint64_t> counter_deltas;
  std::vector<SeriesId> fractions;
  std::vector<double> fraction_deltas;
  std::vector<SeriesId> gauges;
  std::vector<double> gauge_values;
  std::vector<SeriesId> gauge_removes;
  std::vector<Sub> subs;
  std::vector<Cumulative> cumulative;
  bool applies_to_reporter = true;  // false in replay when the checkpoint holds the reporter's part already

  void clear();
};

// Hash of a series' key that is the same in every process.
uint64_t StableKeyHash(absl::string_view family, absl::string_view packed_labels);

class CounterFoldImpl final : public CounterFold {
 public:
  explicit CounterFoldImpl(SeriesStore* store);

  FoldId id() const override { return FoldId::kCounter; }
  absl::Status LoadChunk(Lsn as_of, absl::string_view bytes) override;
  absl::Status Replay(Lsn lsn, RecordPosition position, const RecordView& record) override;
  absl::Status RecoveryDone(int64_t now_ms) override;
  void BeginCheckpoint() override;
  bool NextChunk(std::string* bytes, Lsn* as_of) override;
  void OnQueueEvent(Lsn lsn, const QueueEvent& event) override;
  void SetHistory(uint64_t history_id, int64_t history_start_ms) override;
  uint64_t history_id() const override { return history_id_; }

  // --- for ReportIngest ---
  bool recovered() const { return recovered_; }
  ReporterTable& reporters() { return reporters_; }
  // A number for a series that no record has named.
  JournalSeriesId NewJournalId() { return next_journal_id_++; }
  // The record is durable.
  void ApplyReport(Lsn lsn, const ReportEffect& effect);
  // FORGET is appended: the keys are free for new series, the queue's events find the old ones until ApplyForget.
  void ForgetAppended(absl::Span<const SeriesId> series);
  // The series, or an older one of its key, waits for its FORGET: one at a time.
  bool IsForgetting(SeriesId id) const;
  void ApplyForget(Lsn lsn, absl::Span<const SeriesId> series, absl::Span<const ReporterNumber> reporters, int64_t at_ms);
  // The reporter is `state` since `at_ms`. The store's write lock is held.
  void SetReporterState(Reporter* reporter, SeriesStore::ReporterState state, int64_t at_ms);
  // Its gauges count no more. The store's write lock is held.
  void WithdrawGauges(Reporter* reporter, Lsn lsn, int64_t at_ms);
  // Until when a reporter last heard of at `heard_ms` is LIVE.
  int64_t LiveUntil(const Reporter& reporter) const;
  void set_live_min_ms(int64_t ms) { live_min_ms_ = ms; }
  void set_gone_after_ms(int64_t ms) { gone_after_ms_ = ms; }

 private:
  struct CheckpointCursor {
    bool meta_done = false;
    bool reporters_done = false;
    SeriesId series = 1;
    ReporterNumber reporter = 0;
  };

  absl::Status LoadMeta(Lsn as_of, absl::string_view in);
  absl::Status LoadSeries(Lsn as_of, absl::string_view in);
  absl::Status LoadReporters(Lsn as_of, absl::string_view in);
  // False on damage.
  bool LoadOneSeries(Lsn as_of, uint32_t family, absl::string_view* in);
  void EncodeMeta(std::string* out) const;
  void EncodeSeries(std::string* out);
  void EncodeReporters(std::string* out);

  absl::Status ReplayReport(Lsn lsn, const RecordView& record);
  absl::Status ReplayForget(Lsn lsn, const RecordView& record);
  absl::Status ReplayHistory(const RecordView& record);
  void ReplayDefinitions(Lsn lsn, const DecodedReport& report, ReportEffect* effect);
  absl::Status ResolveColumns(Lsn lsn, const ReportColumns& columns, ReportEffect* effect);
  // kDataLoss unless the checkpoint explains why the series is not there. *id = 0: nothing is to be done.
  absl::Status ResolveSeries(Lsn lsn, JournalSeriesId journal_id, SeriesId* id) const;
  bool Applies(Lsn lsn, SeriesId id) const { return id >= series_as_of_.size() || lsn > series_as_of_[id]; }
  void SetAsOf(SeriesId id, Lsn as_of);
  void ApplySamples(const ReportEffect& effect, Reporter* reporter);
  void ApplyReporter(const ReportEffect& effect, Reporter* reporter);
  void CountSubmitted(Lsn lsn, const QueueEvent& event);
  SeriesId FindForFold(uint32_t family, const Labels& labels) const;
  void RemoveSeries(absl::Span<const SeriesId> series, int64_t at_ms);
  void Reset(int64_t at_ms);

  SeriesStore* const store_;
  // Readers see it from here on.
  void PublishSeries(SeriesId id, int64_t at_ms);

  IngestProbe probe_;
  ReporterTable reporters_;
  QueueSeries queue_series_;
  uint64_t history_id_ = 0;
  int64_t history_start_ms_ = 0;
  JournalSeriesId next_journal_id_ = 1;
  JournalSeriesId journal_ids_folded_ = 1;  // ids below it are defined by folded records
  Lsn folded_lsn_ = 0;
  int64_t last_at_ms_ = 0;
  int64_t live_min_ms_ = 10'000;
  int64_t gone_after_ms_ = 300'000;
  bool recovered_ = false;
  CheckpointCursor cursor_;
  // Between FORGET's append and its fold: what the key named until then.
  absl::flat_hash_map<std::pair<uint32_t, std::string>, SeriesId> forgetting_;
  // Recovery only.
  absl::flat_hash_map<JournalSeriesId, SeriesId> journal_series_;
  absl::flat_hash_map<ReporterNumber, std::vector<SeriesId>> loaded_gauges_;
  std::vector<Lsn> series_as_of_;
  Lsn chunks_as_of_max_ = 0;
};

}  // namespace wheelpit
