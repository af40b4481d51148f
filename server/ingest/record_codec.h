// REPORT and FORGET records: plain values <-> the bytes of wheelpit.journal.v1. The only file of the room that knows them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/journal/record.h"
#include "server/model/labels.h"
#include "server/model/metric.h"

namespace wheelpit {

// The number that records use for a series; never reused in one history. 0 = none.
using JournalSeriesId = uint32_t;

struct ReportHeader {
  int64_t at_ms = 0;
  std::string reporter;
  uint32_t reporter_number = 0;
  uint64_t incarnation = 0;
  uint64_t seq = 0;  // of a hello: the baseline, the batches that this history takes as applied
  int64_t age_ms = 0;
  int64_t interval_ms = 0;
  uint32_t content_crc = 0;
  bool goodbye = false;
  bool drained = false;
  bool hello = false;
};

// A series that no record has named before.
struct NewSeries {
  JournalSeriesId id = 0;
  std::string family;
  Labels labels;
};

struct SubSample {
  JournalSeriesId id = 0;
  std::vector<uint64_t> deltas;  // per second, oldest first
};

struct ReportColumns {
  std::vector<JournalSeriesId> counter_ids;
  std::vector<uint64_t> counter_deltas;
  std::vector<JournalSeriesId> fraction_ids;
  std::vector<double> fraction_deltas;
  std::vector<JournalSeriesId> gauge_ids;
  std::vector<double> gauge_values;
  std::vector<JournalSeriesId> gauge_removes;
  // Counters whose growth is known per second; not in counter_ids.
  std::vector<SubSample> subs;
  // Cumulative mode: what the deltas were taken from; integral values besides, since a double has 53 bits.
  std::vector<JournalSeriesId> cumulative_ids;
  std::vector<double> cumulative_values;
  std::vector<JournalSeriesId> cumulative_integral_ids;
  std::vector<uint64_t> cumulative_integral_values;

  void clear();
};

struct ReportDefinitions {
  std::vector<Family> families;
  std::vector<NewSeries> series;
};

// Expired series and reporters. By key: replay may come to it with a series that only events after the checkpoint's begin made.
struct ForgetRecord {
  int64_t at_ms = 0;
  std::vector<NewSeries> series;  // id 0: no REPORT has named it
  std::vector<uint32_t> reporters;
};

struct DecodedReport {
  ReportHeader header;
  ReportDefinitions definitions;
  ReportColumns columns;
};

// Of each kind per FORGET at most, so that the record keeps far below its bounds.
inline constexpr size_t kForgetItemsMax = 2000;

// Both replace what is in `meta` and `payload`.
void EncodeReport(const ReportHeader& header, const ReportDefinitions& definitions, const ReportColumns& columns, std::string* meta,
                  std::string* payload);
void EncodeForget(const ForgetRecord& forget, std::string* meta, std::string* payload);

// kDataLoss CORRUPT when the bytes do not parse or their columns differ in length.
absl::StatusOr<DecodedReport> DecodeReport(const RecordView& record);
absl::StatusOr<ForgetRecord> DecodeForget(const RecordView& record);

struct HistoryMark {
  int64_t at_ms = 0;
  uint64_t history_id = 0;
  int64_t history_start_ms = 0;
};
// Of an EPOCH record.
absl::StatusOr<HistoryMark> DecodeHistory(const RecordView& record);

}  // namespace wheelpit
