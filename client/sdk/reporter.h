// Counts things in this process and reports them to the aggregator, where each increment is counted
// exactly once.
//
//   auto reporter = wheelpit::Reporter::Create(options).value();
//   wheelpit::Reporter::SeriesSpec spec;
//   spec.name = "mails_sent_total";
//   spec.labels = {{"relay", "a"}};
//   wheelpit::Reporter::Counter sent = reporter->AddCounter(spec).value();
//   sent.Increment();                      // nanoseconds; never blocks, never allocates
//   reporter->Flush(absl::Seconds(5));     // the destructor does this too
//
// Thread-safe. Owns one flush thread. Series are announced with 0 when they are added. While the
// aggregator is away, counts add up in place: memory is bounded by the number of series. Batches
// that were sent and not acknowledged are sent again as they were. What a killed process had not
// got acknowledged is lost: at most about one interval.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/sdk/options.h"

namespace wheelpit {

struct ReporterOptions {
  ClientOptions client;
  // 1..128 bytes, unique among living reporters. Empty = namespace/pod/container from
  // POD_NAMESPACE, POD_UID or POD_NAME and CONTAINER_NAME in a pod, else host name, process id and
  // a random part.
  std::string reporter_id;
  // 100 ms..60 s. Half a second and what the path adds keep an autoscaler within a second of the load.
  absl::Duration interval = absl::Milliseconds(500);
  // Adds `namespace` and `pod` from POD_NAMESPACE and POD_NAME, where set, to each series that
  // lacks them.
  bool pod_labels = true;
  // More of the same kind.
  std::vector<LabelPair> labels;
  // How long the destructor waits for the last acknowledgement.
  absl::Duration goodbye_timeout = absl::Seconds(5);
  // The gauges outlive the reporter by the aggregator's ingest_gauge_ttl (1 min), as after a crash.
  // Otherwise they go with it.
  bool gauges_stay = false;
  // A sample that the aggregator refused, for good. On the flush thread; must not block. May be
  // empty.
  struct Reject {
    std::string series;  // name{label="value",…}
    std::string reason;  // TYPE_CONFLICT, SERIES_LIMIT, …
    std::string message;
  };
  std::function<void(const Reject&)> on_reject;
};

struct ReporterStats {
  uint64_t batches_sent = 0;  // first sends
  uint64_t batches_resent = 0;
  uint64_t batches_acked = 0;
  uint64_t batches_unacked = 0;  // now
  uint64_t samples_rejected = 0;
  uint64_t reconnects = 0;
  uint64_t history_changes = 0;  // the aggregator lost its state
  absl::Duration paused;         // in all, by credit 0
  bool connected = false;
};

class Reporter {
 public:
  struct SeriesSpec {
    // A counter's name ends in `_total`.
    std::string name;
    std::string help;
    // Shown when the name ends in `_<unit>` (`_<unit>_total`).
    std::string unit;
    std::vector<LabelPair> labels;
  };
  // How one gauge is made of the values of several reporters. kDefault: the last value if a label
  // names the reporter (pod, instance), else the sum.
  enum class Merge { kDefault, kSum, kLast, kMin, kMax, kAvg, kCount };

  // Handles are small values to copy; they may be used until the Reporter is destroyed. Any thread.
  class Counter {
   public:
    Counter() = default;
    void Increment(uint64_t n = 1);
    // Fractional counts; finite and >= 0, else ignored. A counter that was ever added to by
    // fractions is one of doubles from then on.
    void Add(double n);

   private:
    friend class Reporter;
    struct CounterCells* cells_ = nullptr;
  };
  class Gauge {
   public:
    Gauge() = default;
    void Set(double value);
    void Add(double delta);
    // Withdraws the value until the next Set or Add.
    void Remove();

   private:
    friend class Reporter;
    struct GaugeCell* cell_ = nullptr;
  };

  // Does not wait for the connection. kInvalidArgument: bad id or interval, or see
  // CheckClientOptions.
  static absl::StatusOr<std::unique_ptr<Reporter>> Create(ReporterOptions options);
  // Flushes, says Goodbye (so that silence from here on is known to be 0), and waits for both at
  // most `goodbye_timeout`.
  ~Reporter();
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;

  // The same name and labels give the same handle. kInvalidArgument: empty name, repeated label
  // name; kFailedPrecondition (TYPE_CONFLICT): the name is of the other kind here.
  absl::StatusOr<Counter> AddCounter(const SeriesSpec& spec);
  absl::StatusOr<Gauge> AddGauge(const SeriesSpec& spec, Merge merge = Merge::kDefault);

  // Waits until everything counted before the call is acknowledged. kDeadlineExceeded after
  // `timeout` (nothing is lost by it); kFailedPrecondition (STALE_INCARNATION) when a newer process
  // took the id over.
  absl::Status Flush(absl::Duration timeout);

  ReporterStats stats() const;
  // Why there is no connection now; OK while there is one.
  absl::Status last_error() const;

 private:
  class Impl;
  explicit Reporter(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace wheelpit
