// Takes reports: checks them, drops repeats by (reporter, incarnation, seq), resolves the stream's dictionary, journals what is
// accepted, and acknowledges when durable.
//
// Engine thread, except where said. One ReportStream object per stream; a unary report opens one, sends one batch, closes it.
//
//   auto stream = ingest.Open(hello, now, [](HelloOutcome h) {…});
//   stream->Apply(std::move(batch), now, [](absl::StatusOr<BatchAck> ack) {…});   // after durability
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/journal/durable_queue.h"
#include "server/journal/journal.h"
#include "server/ingest/counter_fold.h"
#include "server/model/labels.h"
#include "server/model/metric.h"
#include "server/series/series_store.h"

namespace wheelpit {

struct ReportIngestOptions {
  uint32_t credit = 8;                       // batches in flight per stream
  uint32_t samples_per_batch_max = 10'000;
  uint32_t batch_bytes_max = 1 << 20;
  int64_t live_min_ms = 10'000;              // LIVE for max(this, 3 x interval) after the last sign of life
  int64_t gone_after_ms = 300'000;
  int64_t reporter_keep_ms = 86'400'000;     // dedup state after GONE
  int64_t gauge_ttl_ms = 60'000;
  int64_t series_ttl_ms = 3'600'000;         // 0 = for ever
  uint64_t queued_bytes_max = 256ULL << 20;  // waiting for durability; beyond: OVERLOADED
  uint32_t new_series_per_s_max = 50'000;    // beyond: OVERLOADED
};

struct ReportHello {
  std::string reporter_id;
  uint64_t incarnation = 0;
  uint64_t acked_through = 0;
  bool cumulative = false;
  std::vector<Labels::Pair> labels;
};

struct HelloOutcome {
  uint64_t history_id = 0;
  uint64_t applied_seq = 0;
  uint32_t credit = 0;
  bool durable = false;
};

struct SeriesDefinition {
  uint32_t ref = 0;
  std::string family;
  std::vector<Labels::Pair> labels;
};

// A counter's growth per second, oldest first; their sum equals its delta in the batch.
struct SubDeltas {
  uint32_t ref = 0;
  absl::Span<const uint64_t> deltas;
};

// Columns borrow the caller's memory until Apply returns.
struct ReportBatch {
  uint64_t seq = 0;
  int64_t interval_ms = 0;
  int64_t age_ms = 0;
  std::vector<Family> families;
  std::vector<SeriesDefinition> series;
  absl::Span<const uint32_t> counter_refs;
  absl::Span<const uint64_t> counter_values;
  absl::Span<const uint32_t> fraction_refs;
  absl::Span<const double> fraction_values;
  absl::Span<const uint32_t> gauge_refs;
  absl::Span<const double> gauge_values;
  absl::Span<const uint32_t> gauge_removes;
  std::vector<SubDeltas> subs;
  uint64_t encoded_bytes = 0;
  // Samples of kinds that this version does not take (histograms, …): rejected one by one with UNSUPPORTED_TYPE.
  uint32_t unsupported_samples = 0;
};

struct SampleReject {
  uint64_t seq = 0;
  uint32_t sample_index = 0;
  std::string reason;
  std::string message;
};

struct BatchAck {
  uint64_t through_seq = 0;
  bool durable = false;
  uint64_t history_id = 0;
  uint32_t credit = 0;
  std::vector<SampleReject> rejects;
};

class ReportStream {
 public:
  virtual ~ReportStream() = default;
  using AckDone = absl::AnyInvocable<void(absl::StatusOr<BatchAck>)>;
  // A bad sample is left out and listed in the ack. Errors end the stream: SEQ_GAP, BATCH_MISMATCH, BATCH_TOO_LARGE, STALE_INCARNATION, SESSION_SUPERSEDED, OVERLOADED,
  // DISK_LOW, DRAINING, JOURNAL.
  virtual void Apply(ReportBatch batch, int64_t now, AckDone done) = 0;
  virtual void Heartbeat(int64_t now) = 0;
  // `drained`: everything counted was sent, so that silence from here on is known to be 0.
  virtual void Goodbye(bool drained, int64_t now, AckDone done) = 0;
};

class ReportIngest {
 public:
  virtual ~ReportIngest() = default;
  static std::unique_ptr<ReportIngest> Create(const ReportIngestOptions& options, Journal* journal, DurableQueue* durable,
                                              SeriesStore* store, CounterFold* fold);

  // `superseded` runs when another stream of the same incarnation takes over (SESSION_SUPERSEDED); may be null.
  // Errors: BAD_REPORTER_ID, BAD_INCARNATION, STALE_INCARNATION, BAD_LABEL_NAME, …, NOT_READY, DRAINING.
  virtual absl::StatusOr<std::unique_ptr<ReportStream>> Open(const ReportHello& hello, int64_t now, HelloOutcome* outcome,
                                                             absl::AnyInvocable<void(absl::Status)> superseded) = 0;
  // A whole page was scraped: a series does not expire before two scrapes have shown its last change, while somebody scrapes.
  virtual void ScrapeCompleted(int64_t now) = 0;
  // Silence, gauge and series expiry. Call at or after NextDeadline().
  virtual void Advance(int64_t now) = 0;
  virtual int64_t NextDeadline() const = 0;
  // Refuses new streams and batches (DRAINING); a goodbye is still taken.
  virtual void StartDraining() = 0;
};

}  // namespace wheelpit
