// Own metrics of the ingest room.
#pragma once

#include <string>

#include "base/metrics.h"

namespace wheelpit {

struct IngestProbe {
  static Counter* Batches(const char* result) {
    return OwnMetrics().AddCounter("wheelpit_batches_received_total", "Report batches received, by what became of them",
                                   {{"result", result}});
  }
  static Counter* Samples(const char* type) {
    return OwnMetrics().AddCounter("wheelpit_samples_received_total", "Samples in report batches that were applied",
                                   {{"type", type}});
  }
  static Counter* Rejected(const std::string& reason) {
    return OwnMetrics().AddCounter("wheelpit_samples_rejected_total", "Samples left out of their batch, by reason",
                                   {{"reason", reason}});
  }
  static Counter* Fenced(const char* cause) {
    return OwnMetrics().AddCounter("wheelpit_reporter_fenced_total", "Streams refused or ended in favour of another", {{"cause", cause}});
  }
  static Counter* Late(const char* fate) {
    return OwnMetrics().AddCounter("wheelpit_increments_late_total",
                                   "Increments that came later than the shortest ring reaches (ring: the longer windows have them) or than "
                                   "every ring (total_only: no window has them). Rising: reporters were cut off",
                                   {{"fate", fate}});
  }
  static Counter* Conflicts(const char* kind) {
    return OwnMetrics().AddCounter("wheelpit_metadata_conflicts_total",
                                   "Families reported with other metadata than the first one's, which wins. Rising: reporters of two versions",
                                   {{"kind", kind}});
  }
  static Counter* Expired(const char* cause) {
    return OwnMetrics().AddCounter("wheelpit_series_expired_total", "Series that left the store", {{"cause", cause}});
  }
  static Counter* Backpressure(const char* kind) {
    return OwnMetrics().AddCounter("wheelpit_backpressure_events_total", "Reporters told to wait", {{"kind", kind}});
  }

  Counter* const applied = Batches("applied");
  Counter* const duplicate = Batches("duplicate");
  Counter* const gap = Batches("gap");
  Counter* const rejected = Batches("rejected");
  Counter* const counter_samples = Samples("counter");
  Counter* const gauge_samples = Samples("gauge");
  Counter* const stale_incarnation = Fenced("stale_incarnation");
  Counter* const superseded = Fenced("superseded");
  Counter* const late_ring = Late("ring");
  Counter* const late_total_only = Late("total_only");
  Counter* const help_conflicts = Conflicts("help");
  Counter* const unit_conflicts = Conflicts("unit");
  Counter* const type_conflicts = Conflicts("type");
  Counter* const series_created =
      OwnMetrics().AddCounter("wheelpit_series_created_total", "Series that appeared. Rising for long: a label with ever new values");
  Counter* const expired_ttl = Expired("ttl");
  Counter* const exhausted = Backpressure("exhausted");
  Counter* const batches_lost = OwnMetrics().AddCounter(
      "wheelpit_report_batches_lost_total", "Acknowledged batches that this history does not hold (lost with power below mode always)");
  Gauge* const active_series = OwnMetrics().AddGauge("wheelpit_series", "Stored series", {{"state", "active"}});
  Gauge* const idle_series = OwnMetrics().AddGauge("wheelpit_series", "Stored series", {{"state", "idle"}});
  Gauge* const families = OwnMetrics().AddGauge("wheelpit_families", "Families with a stored series");
  Gauge* const live_reporters = OwnMetrics().AddGauge("wheelpit_reporters", "Known reporters", {{"state", "live"}});
  Gauge* const silent_reporters = OwnMetrics().AddGauge("wheelpit_reporters", "Known reporters", {{"state", "silent"}});
  Gauge* const gone_reporters = OwnMetrics().AddGauge("wheelpit_reporters", "Known reporters", {{"state", "gone"}});
  Gauge* const ring_bytes = OwnMetrics().AddGauge("wheelpit_ring_bytes", "Memory of the rings of windowed counts");
  Gauge* const series_bytes = OwnMetrics().AddGauge("wheelpit_series_bytes", "Memory of stored series without rings, estimated");
  Gauge* const queued_batches = OwnMetrics().AddGauge("wheelpit_ingest_queue_batches", "Report batches that wait for durability");
  Gauge* const oldest_unacked = OwnMetrics().AddGauge("wheelpit_reporter_oldest_unacked_seconds",
                                                      "Age of the oldest report batch that waits for durability; 0 = none");
  Gauge* const history_start = OwnMetrics().AddGauge("wheelpit_history_start_timestamp_seconds",
                                                     "When this unbroken history of counts began");
  Histogram* const report_age =
      OwnMetrics().AddHistogram("wheelpit_report_age_seconds", "Age of a batch's newest count at its arrival", LatencyBounds());
};

}  // namespace wheelpit
