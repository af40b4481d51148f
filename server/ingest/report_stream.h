// One reporter's stream: its dictionary of series, and the way of a batch from refs to a record.
//
// Engine thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "server/ingest/counter_fold_impl.h"
#include "server/ingest/record_codec.h"
#include "server/ingest/report_ingest.h"
#include "server/ingest/reporter_table.h"

namespace wheelpit {

class ReportIngestImpl;

// A batch between Apply and its fold. Pooled: its vectors keep their memory.
struct PendingReport {
  ReportEffect effect;
  ReportDefinitions definitions;
  ReportColumns columns;
  std::vector<uint64_t> content;  // words of the checksum
  std::vector<SampleReject> rejects;
  std::vector<SeriesId> named;    // got their journal id here
  std::vector<SeriesId> created;  // made here
  uint64_t bytes = 0;

  void clear();
};

class ReportStreamImpl final : public ReportStream {
 public:
  ReportStreamImpl(ReportIngestImpl* ingest, Reporter* reporter, const ReportHello& hello,
                   absl::AnyInvocable<void(absl::Status)> superseded);
  ~ReportStreamImpl() override;

  void Apply(ReportBatch batch, int64_t now, AckDone done) override;
  void Heartbeat(int64_t now) override;
  void Goodbye(bool drained, int64_t now, AckDone done) override;

  // --- for ReportIngest ---
  uint64_t incarnation() const { return incarnation_; }
  // Another stream took over: no more batches from here.
  void End(absl::Status status);
  // The ingest room is about to go.
  void Orphan();
  // These series expired: their refs make new ones when they count again.
  void SeriesForgotten(const std::vector<bool>& by_id);

 private:
  enum class Kind : uint8_t { kUndefined, kCounter, kGauge, kDetached, kBad };
  struct Ref {
    SeriesId id = 0;
    JournalSeriesId journal_id = 0;
    uint64_t key_hash = 0;
    Kind kind = Kind::kUndefined;
  };
  // What a ref means, kept while the store has no series for it.
  struct Definition {
    Family family;
    Labels labels;
  };

  absl::Status CheckBatch(const ReportBatch& batch) const;
  absl::Status CheckSubs(const ReportBatch& batch) const;
  void NoteConflicts(const Family& family) const;
  void Define(const ReportBatch& batch, bool create, int64_t now, PendingReport* p);
  absl::Status DefineOne(const SeriesDefinition& series, bool create, int64_t now, PendingReport* p, Ref* ref);
  absl::StatusOr<Definition> MakeDefinition(const SeriesDefinition& series) const;
  // Finds or makes the series of a definition, and names it in the record if no record has.
  absl::Status Materialize(Definition definition, int64_t now, PendingReport* p, Ref* ref);
  absl::StatusOr<SeriesId> FindOrCreate(const Definition& definition, uint32_t family, int64_t now, PendingReport* p);

  void Resolve(const ReportBatch& batch, bool create, int64_t now, PendingReport* p);
  void ResolveCounters(const ReportBatch& batch, PendingReport* p);
  void ResolveCumulative(const ReportBatch& batch, PendingReport* p);
  void ResolveFractions(const ReportBatch& batch, PendingReport* p);
  void ResolveGauges(const ReportBatch& batch, PendingReport* p);
  void ResolveSubs(const ReportBatch& batch, PendingReport* p);
  // The ref, made anew if its series expired; null and the sample rejected if it cannot be used as `kind`.
  const Ref* Usable(uint32_t ref, Kind kind, size_t sample, PendingReport* p);
  // The growth since the last value. False (rejected) if it fell.
  bool TakeCumulative(const Ref& ref, size_t sample, const CumulativeValue& value, CumulativeValue* delta, PendingReport* p);
  void AddContent(uint32_t number, uint64_t value, PendingReport* p) const;
  void Reject(size_t sample, const absl::Status& status, PendingReport* p);
  void Submit(const ReportBatch& batch, std::unique_ptr<PendingReport> p, int64_t now, AckDone done);
  void Undo(PendingReport* p);

  ReportIngestImpl* ingest_;
  Reporter* reporter_;
  const uint64_t incarnation_;
  const bool cumulative_;
  const std::vector<Labels::Pair> labels_;
  absl::AnyInvocable<void(absl::Status)> superseded_;
  absl::Status ended_;

  std::vector<Ref> refs_;
  absl::flat_hash_map<uint32_t, absl::Status> bad_refs_;
  absl::flat_hash_map<uint32_t, Definition> detached_;
  absl::flat_hash_map<std::string, Family> families_;
  size_t gauges_defined_ = 0;
  // Of the batch in hand.
  uint64_t batch_seq_ = 0;
  int64_t batch_now_ = 0;
  bool batch_create_ = false;
  CumulativeValues batch_cumulative_;
};

}  // namespace wheelpit
