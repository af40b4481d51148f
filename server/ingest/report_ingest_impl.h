// ReportIngest as its streams see it.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "server/ingest/counter_fold_impl.h"
#include "server/ingest/probe.h"
#include "server/ingest/report_ingest.h"
#include "server/ingest/report_stream.h"

namespace wheelpit {

class ReportIngestImpl final : public ReportIngest {
 public:
  ReportIngestImpl(const ReportIngestOptions& options, Journal* journal, DurableQueue* durable, SeriesStore* store,
                   CounterFoldImpl* fold);
  ~ReportIngestImpl() override;

  absl::StatusOr<std::unique_ptr<ReportStream>> Open(const ReportHello& hello, int64_t now, HelloOutcome* outcome,
                                                     absl::AnyInvocable<void(absl::Status)> superseded) override;
  void ScrapeCompleted(int64_t now) override;
  void Advance(int64_t now) override;
  int64_t NextDeadline() const override { return next_tick_ms_; }
  void StartDraining() override { draining_ = true; }

  // --- for the streams ---
  const ReportIngestOptions& options() const { return options_; }
  SeriesStore* store() { return store_; }
  CounterFoldImpl* fold() { return fold_; }
  IngestProbe& probe() { return probe_; }
  std::unique_ptr<PendingReport> NewPending();
  void Recycle(std::unique_ptr<PendingReport> p);
  // OVERLOADED when too much waits for durability, or too many series are made.
  absl::Status CheckRoom(const ReportBatch& batch, int64_t now);
  void CountNewSeries() { ++new_series_; }
  // Journals the effect (with what `p` defines); `done` gets the ack when it is folded. On failure nothing is journaled and `p` is
  // handed back.
  absl::Status Append(std::unique_ptr<PendingReport>* p, uint64_t through_seq, ReportStream::AckDone* done);
  // An ack for what is taken in already, once that is durable.
  void AckAgain(uint64_t through_seq, ReportStream::AckDone done);
  void Heard(Reporter* reporter, int64_t now);
  void Add(ReportStreamImpl* stream) { streams_.insert(stream); }
  void Drop(ReportStreamImpl* stream) { streams_.erase(stream); }

 private:
  BatchAck MakeAck(uint64_t through_seq) const;
  absl::Status AppendHello(const ReportHello& hello, Reporter* reporter, int64_t now);
  void AdvanceReporters(int64_t now);
  void AdvanceSeries(int64_t now);
  bool MayExpire(const Series& s, int64_t now) const;
  void Forget(std::vector<SeriesId> series, std::vector<ReporterNumber> reporters, int64_t now);
  void PublishGauges(int64_t now);

  const ReportIngestOptions options_;
  Journal* const journal_;
  DurableQueue* const durable_;
  SeriesStore* const store_;
  CounterFoldImpl* const fold_;
  IngestProbe probe_;

  absl::flat_hash_set<ReportStreamImpl*> streams_;
  std::vector<std::unique_ptr<PendingReport>> free_;
  std::deque<const PendingReport*> in_flight_;
  uint64_t queued_bytes_ = 0;
  std::string meta_, payload_;
  uint64_t new_series_ = 0;  // in the second that began at new_series_since_ms_
  int64_t new_series_since_ms_ = 0;
  int64_t next_tick_ms_ = 0;
  int64_t last_scrape_ms_ = 0;
  int64_t scrape_before_ms_ = 0;
  SeriesId scan_ = 1;
  bool draining_ = false;
};

}  // namespace wheelpit
