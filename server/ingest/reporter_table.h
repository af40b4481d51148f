// Who reports: each reporter's incarnation and the seq up to which its batches are taken in. Two views of it: as appended to the
// journal (what the next batch is compared with) and as folded (what is durable, and what a checkpoint holds).
//
// Engine thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "server/journal/record.h"
#include "server/series/series_store.h"

namespace wheelpit {

class ReportStreamImpl;

// What a counter last stood at, in cumulative mode.
struct CumulativeValue {
  uint64_t integral = 0;
  double fraction = 0;
  bool is_double = false;
  double AsDouble() const { return is_double ? fraction : static_cast<double>(integral); }
};

// By key hash of the series: it outlives the expiry of the series in the store.
using CumulativeValues = absl::flat_hash_map<uint64_t, CumulativeValue>;

// Checksums of the last 64 batches of an incarnation, to tell a resend from another batch of the same number.
class ContentHistory {
 public:
  void Clear() { crcs_.clear(); }
  void Set(uint64_t seq, uint32_t crc);
  // False if `seq` is known to have had other content.
  bool Matches(uint64_t seq, uint32_t crc) const;
  const std::vector<std::pair<uint64_t, uint32_t>>& crcs() const { return crcs_; }

 private:
  static constexpr size_t kKept = 64;
  std::vector<std::pair<uint64_t, uint32_t>> crcs_;  // at seq % kKept
};

struct Reporter {
  struct Progress {
    uint64_t incarnation = 0;
    uint64_t seq = 0;
    // The incarnation was known from its first batch on, so that a cumulative value not seen before began at 0.
    bool from_zero = false;
  };

  ReporterNumber number = 0;
  std::string id;
  Progress appended;
  Progress folded;  // incarnation 0: nothing is durable yet
  ContentHistory content;
  int64_t interval_ms = 0;
  int64_t heard_ms = 0;
  SeriesStore::ReporterState state = SeriesStore::ReporterState::kLive;
  int64_t left_ms = 0;  // kDrained, kGone: since when
  bool forgotten = false;  // FORGET is appended
  uint32_t series = 0;   // that it feeds
  uint32_t in_flight = 0;  // records appended and not yet folded
  std::vector<SeriesId> gauges;  // it has, or had, a value in; may name one twice
  std::unique_ptr<CumulativeValues> cumulative_appended;
  std::unique_ptr<CumulativeValues> cumulative_folded;
  Lsn as_of = 0;  // replay: the checkpoint holds it up to here
  ReportStreamImpl* stream = nullptr;  // the current one

  bool left() const { return state != SeriesStore::ReporterState::kLive; }
};

class ReporterTable {
 public:
  // Null if unknown.
  Reporter* Find(absl::string_view id) const;
  Reporter* Find(ReporterNumber number) const;
  // A new one, with the next number.
  Reporter& Add(absl::string_view id);
  // From a record or checkpoint; replaces a forgotten one of that id.
  Reporter& Restore(ReporterNumber number, absl::string_view id);
  // The id is free for a new reporter; the number lives on until Remove.
  void Detach(Reporter* reporter);
  void Remove(ReporterNumber number);
  void Clear();

  // By number: checkpoints go through it in pieces.
  const std::map<ReporterNumber, std::unique_ptr<Reporter>>& by_number() const { return by_number_; }
  ReporterNumber next_number() const { return next_number_; }
  void RaiseNextNumber(ReporterNumber at_least);

 private:
  std::map<ReporterNumber, std::unique_ptr<Reporter>> by_number_;
  absl::flat_hash_map<std::string, Reporter*> by_id_;
  ReporterNumber next_number_ = 1;
};

}  // namespace wheelpit
