#include "server/gauges/queue_rates.h"

#include <algorithm>
#include <vector>

#include "server/rates/rings.h"

namespace wheelpit {
namespace {

// Series per stretch of the read lock; each adds up a few hundred slots.
constexpr size_t kSeriesPerLock = 256;

constexpr const char* kFlowCounters[kQueueFlows] = {"wheelpit_tasks_submitted_total", "wheelpit_tasks_completed_total",
                                                    "wheelpit_tasks_leased_total"};

std::vector<SeriesId> SeriesOf(const SeriesStore& store, absl::string_view family) {
  const SeriesStore::ReadLock lock(store);
  const FamilyEntry* entry = lock.family(family);
  return entry == nullptr ? std::vector<SeriesId>() : entry->series;
}

}  // namespace

QueueRatesByName ReadQueueRates(const SeriesStore& store, int64_t now_ms) {
  std::array<Window, kQueueRateWindowsMs.size()> windows;
  for (size_t w = 0; w < windows.size(); ++w) windows[w] = WindowAt(now_ms, kQueueRateWindowsMs[w]);
  QueueRatesByName rates;
  for (size_t flow = 0; flow < kQueueFlows; ++flow) {
    const std::vector<SeriesId> ids = SeriesOf(store, kFlowCounters[flow]);
    for (size_t begin = 0; begin < ids.size(); begin += kSeriesPerLock) {
      const SeriesStore::ReadLock lock(store);
      for (size_t i = begin; i < std::min(ids.size(), begin + kSeriesPerLock); ++i) {
        const Series* series = lock.find(ids[i]);
        if (series == nullptr) continue;
        const absl::string_view queue = series->labels().Get("queue");
        WindowRates& out = rates[std::string(queue)].flows[flow];
        for (size_t w = 0; w < windows.size(); ++w) {
          out[w] = series->Increase(windows[w]) / static_cast<double>(windows[w].end_s - windows[w].start_s);
        }
      }
    }
  }
  return rates;
}

}  // namespace wheelpit
