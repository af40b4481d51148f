// Own metrics of the queues: what is not journaled, and so begins with 0 in each process. What is journaled: ingest/queue_series.h.
//
// Engine thread, except CountRejected.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/metrics.h"

namespace wheelpit {

enum class LeaseOp { kComplete, kFail, kExtend, kRelease };
enum class RunEnd { kCompleted, kFailed, kLost, kCancelled };

// Of one queue. Counters exist from the queue's creation on, histograms from their first observation on (each has two dozen lines).
class QueueProbe {
 public:
  explicit QueueProbe(const std::string& queue) : queue_(queue) {}

  // Stands for queues that have no series of their own, and for names that are none.
  static constexpr char kOther[] = "_other";
  // Submits that were refused. Any thread. `queue` is a queue with own series, or kOther.
  static void CountRejected(absl::string_view queue, absl::string_view reason, uint64_t n = 1) {
    OwnMetrics()
        .AddCounter("wheelpit_submissions_rejected_total", "Submits refused, by reason. Rising: look at the reason; FULL and LOW ones pass.",
                    {{"queue", std::string(queue)}, {"reason", reason.empty() ? "OTHER" : std::string(reason)}})
        ->Add(n);
  }
  void Rejected(absl::string_view reason, uint64_t n = 1) { CountRejected(queue_, reason, n); }
  void Stale(LeaseOp op) { stale_[static_cast<size_t>(op)]->Add(); }
  void Ran(RunEnd end, int64_t ms) {
    static constexpr const char* kOutcomes[] = {"completed", "failed", "lost", "cancelled"};
    Histogram*& cell = run_[static_cast<size_t>(end)];
    if (cell == nullptr) {
      cell = OwnMetrics().AddHistogram("wheelpit_task_run_seconds", "Time of an attempt from its assignment to its end. Rising: tasks got longer, or workers slower.",
                                       LatencyBounds(), {{"queue", queue_}, {"outcome", kOutcomes[static_cast<size_t>(end)]}});
    }
    cell->Observe(static_cast<double>(ms) / 1000);
  }
  void Waited(int64_t ms) {
    Of(&wait_, "wheelpit_task_wait_seconds", "Time a task was ready before it was assigned. Rising: too few workers.", LatencyBounds)
        ->Observe(static_cast<double>(ms) / 1000);
  }
  void Ended(int64_t since_submit_ms, uint32_t attempts) {
    Of(&total_, "wheelpit_task_total_seconds", "Time from a task's submit to its end. Rising: tasks wait, fail or take longer.", LatencyBounds)
        ->Observe(static_cast<double>(since_submit_ms) / 1000);
    Of(&attempts_, "wheelpit_task_attempts", "Attempts that a task had taken when it ended. Rising: attempts fail or are lost.", AttemptBounds)
        ->Observe(attempts);
  }
  void Submitted(uint64_t payload_bytes) {
    in->Add(payload_bytes);
    Of(&size_, "wheelpit_task_payload_size_bytes", "Payload of a task. Rising: tasks got larger.", SizeBounds)
        ->Observe(static_cast<double>(payload_bytes));
  }
  // For whoever knows when the submit arrived.
  Histogram* submit_seconds() {
    return Of(&submit_, "wheelpit_submit_seconds", "Time from a submit's arrival to its durable answer. Rising: the disk or the engine is slow.",
              LatencyBounds);
  }

 private:
  const std::string queue_;

 public:
  Counter* const deduplicated = Cell("wheelpit_submissions_deduplicated_total",
                                     "Submits that named a task which was there already. Rising: clients repeat their requests.");
  Counter* const extended = Cell("wheelpit_lease_extensions_total", "Leases prolonged by their workers. Rising: attempts outlast their lease time.");
  Counter* const in = Payload("in");
  Counter* const out = Payload("out");

 private:
  static std::vector<double> Doubling(double from, double to) {
    std::vector<double> bounds;
    for (double b = from; b <= to; b *= 2) bounds.push_back(b);
    return bounds;
  }
  static std::vector<double> AttemptBounds() { return Doubling(1, 1024); }
  static std::vector<double> SizeBounds() { return Doubling(64, 16 << 20); }
  Counter* Cell(const char* name, const char* help) const { return OwnMetrics().AddCounter(name, help, {{"queue", queue_}}); }
  Counter* Payload(const char* direction) const {
    return OwnMetrics().AddCounter("wheelpit_payload_bytes_total", "Payload bytes of tasks, accepted (in) and handed to workers (out). Out above in: tasks are given again.",
                                   {{"queue", queue_}, {"direction", direction}});
  }
  Counter* StaleCell(const char* op) const {
    return OwnMetrics().AddCounter("wheelpit_stale_operations_total", "Operations on leases that were not current any more. Rising: workers are slower than their leases.",
                                   {{"queue", queue_}, {"op", op}});
  }
  Histogram* Of(Histogram** cell, const char* name, const char* help, std::vector<double> (*bounds)()) const {
    if (*cell == nullptr) *cell = OwnMetrics().AddHistogram(name, help, bounds(), {{"queue", queue_}});
    return *cell;
  }

  const std::array<Counter*, 4> stale_ = {StaleCell("complete"), StaleCell("fail"), StaleCell("extend"), StaleCell("release")};
  std::array<Histogram*, 4> run_ = {};
  Histogram* wait_ = nullptr;
  Histogram* total_ = nullptr;
  Histogram* attempts_ = nullptr;
  Histogram* size_ = nullptr;
  Histogram* submit_ = nullptr;
};

}  // namespace wheelpit
