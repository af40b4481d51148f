// Which series a selector means, and their values now: reads the store in short stretches of its
// lock, families first.
//
// One Selection serves one evaluation at one moment, on one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/promql/ast.h"
#include "server/promql/query_engine.h"
#include "server/promql/value.h"
#include "server/series/series_store.h"

namespace wheelpit {

enum class ReadAs { kInstant, kRate, kIncrease };

// Valid during the call that hands it over.
struct SelectedSample {
  absl::string_view name;
  LabelsView labels;
  double value = 0;
  Certainty certainty = Certainty::kKnown;
};

class Selection {
 public:
  // Answers as of `at_ms`, at or before the present `now_ms`. `virtual_series` may be null.
  Selection(const SeriesStore& store, const VirtualSeriesSource* virtual_series, int64_t now_ms,
            int64_t at_ms, WindowEnd end)
      : store_(store), virtual_source_(virtual_series), now_ms_(now_ms), at_ms_(at_ms), end_(end) {}

  using Visit = absl::FunctionRef<void(const SelectedSample&)>;
  // Each series that matches, by family name, then in order of creation. `visit` runs under the
  // store's lock: it must not block. Errors: EXECUTION at `position` (a rate of a gauge, an offset
  // that cannot be answered).
  absl::Status Read(const Selector& selector, ReadAs read_as, TextPosition position, Visit visit);

  // Names of the families, stored and virtual, that may have matches; sorted.
  std::vector<std::string> MatchingNames(const Selector& selector);
  // The series of one family that match any of `selectors`, whatever their value.
  void ReadFamily(absl::string_view name, const std::vector<Selector>& selectors,
                  absl::FunctionRef<void(LabelsView)> visit);

  int64_t at_ms() const { return at_ms_; }
  // Why elements were unknown: for messages.
  bool saw_silent() const { return saw_silent_; }
  bool saw_short_history() const { return saw_short_history_; }

 private:
  // What a selector's range and offset come to at now_ms, the same for all its series.
  struct Span {
    ReadAs read_as = ReadAs::kInstant;
    Window window;  // of the answer
    // Increase over `window` = that over `outer` - that over `inner`: both end now, where every
    // ring ends.
    Window outer;
    std::optional<Window> inner;
    // The second that is running now belongs to the answer, as far as it has run.
    bool open = false;
    double running_s = 0;
    int64_t offset_ms = 0;
    Coverage coverage;
  };
  absl::Status MakeSpan(const Selector& selector, ReadAs read_as, TextPosition position,
                        Span* span) const;
  absl::Status CheckReadable(const Selector& selector, const Span& span, MetricType type,
                             TextPosition position) const;
  // Calls `each(lock, family, series)` for every series of the family, the lock let go between
  // stretches.
  template <typename Each>
  void ScanFamily(absl::string_view name, Each each);
  // False if the series has no value then.
  bool ReadSeries(const SeriesStore::ReadLock& lock, const Series& series, MetricType type,
                  const Span& span, SelectedSample* sample);
  double IncreaseOf(const Series& series, const Span& span) const;

  struct PackedVirtual {
    std::string name;
    std::string labels;
    double value = 0;
  };
  // Those of one family, maybe among others; "" = all.
  const std::vector<PackedVirtual>& VirtualSeriesNow(absl::string_view name);

  const SeriesStore& store_;
  const VirtualSeriesSource* const virtual_source_;
  const int64_t now_ms_;
  const int64_t at_ms_;
  const WindowEnd end_;
  std::map<std::string, std::vector<PackedVirtual>, std::less<>> virtual_;  // by the name that was read
  bool saw_silent_ = false;
  bool saw_short_history_ = false;
};

}  // namespace wheelpit
