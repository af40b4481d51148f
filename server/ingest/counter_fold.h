// The counter fold: REPORT records and the queue's events -> totals, rings, and each reporter's applied_seq.
//
// Engine thread. Deterministic: time comes from the records. Gated by lsn per series and per reporter, so that replay over a fuzzy
// checkpoint changes nothing twice.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "server/journal/fold.h"
#include "server/queue/queue_observer.h"
#include "server/series/series_store.h"

namespace wheelpit {

// A batch covers this much at most; more counts as this.
inline constexpr int64_t kReportIntervalMaxMs = 86'400'000;

// Durable records come in lsn order: REPORT and FORGET from ReportIngest as they become durable, the queue's events from the queue.
// A checkpoint holds what is folded, so it must begin at a lsn that is folded already (DurableQueue::advanced()).
class CounterFold : public Fold, public QueueObserver {
 public:
  static std::unique_ptr<CounterFold> Create(SeriesStore* store);
  // History as in the EPOCH record that app wrote or recovered. Another history than the known one: every count begins anew.
  virtual void SetHistory(uint64_t history_id, int64_t history_start_ms) = 0;
  virtual uint64_t history_id() const = 0;
};

}  // namespace wheelpit
