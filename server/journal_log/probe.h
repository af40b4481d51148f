// Own metrics of the embedded journal. What Usage() tells is set by app/.
#pragma once

#include <array>

#include "base/metrics.h"
#include "server/journal/record.h"

namespace wheelpit {

struct JournalProbe {
  // Engine thread.
  void Appended(RecordType type) {
    Counter*& cell = records_[static_cast<size_t>(type)];
    if (cell == nullptr) {
      cell = OwnMetrics().AddCounter("wheelpit_journal_records_total", "Records appended, by type. Rising: work.", {{"type", RecordTypeName(type)}});
    }
    cell->Add();
  }

  Counter* const written = OwnMetrics().AddCounter("wheelpit_journal_written_bytes_total", "Bytes written to segments. Rising: work.");
  Counter* const cleaned = OwnMetrics().AddCounter("wheelpit_journal_cleaned_bytes_total",
                                                   "Bytes of segments given back because nothing in them is needed. Rising: space returns.");
  Counter* const corrupt = OwnMetrics().AddCounter("wheelpit_journal_corrupt_frames_total",
                                                   "Places of the journal whose checksum did not hold when they were read. Rising: the disk damages data.");
  Counter* const write_errors = Errors("write");
  Counter* const sync_errors = Errors("sync");
  Counter* const full_errors = Errors("full");
  Counter* const maintenance_errors = Errors("maintenance");
  Histogram* const sync_seconds = OwnMetrics().AddHistogram(
      "wheelpit_journal_sync_seconds", "Time of a sync to disk. Rising: the disk is slow, and every answer waits for it.", SyncBounds());
  Histogram* const batch_records = OwnMetrics().AddHistogram(
      "wheelpit_journal_batch_records", "Records of one group commit. Rising: more work shares each sync.", BatchBounds());

 private:
  static Counter* Errors(const char* kind) {
    return OwnMetrics().AddCounter("wheelpit_journal_errors_total",
                                   "Errors of the journal's files, by kind. write, sync: the server stops. full, maintenance: tried again.",
                                   {{"kind", kind}});
  }
  static std::vector<double> SyncBounds() {
    std::vector<double> bounds;
    for (double b = 0.00005; b < 10; b *= 2) bounds.push_back(b);
    return bounds;
  }
  static std::vector<double> BatchBounds() {
    std::vector<double> bounds;
    for (double b = 1; b <= 8192; b *= 2) bounds.push_back(b);
    return bounds;
  }

  std::array<Counter*, 256> records_ = {};
};

}  // namespace wheelpit
