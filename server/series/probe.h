// Own metrics of the series store.
#pragma once

#include "absl/strings/string_view.h"
#include "base/metrics.h"

namespace wheelpit {

struct SeriesProbe {
  static SeriesProbe& Get() {
    static SeriesProbe* const probe = new SeriesProbe();
    return *probe;
  }
  // `limit`: as in SERIES_LIMIT's message.
  void LimitHit(absl::string_view limit) {
    for (const auto& [name, cell] : limits) {
      if (name == limit) return cell->Add();
    }
  }

 private:
  static Counter* Limit(const char* limit) {
    return OwnMetrics().AddCounter("wheelpit_series_limit_hits_total",
                                   "Series or families refused at a limit. Rising: a label with too many values, or the limit is too low.",
                                   {{"limit", limit}});
  }
  const std::pair<absl::string_view, Counter*> limits[5] = {{"series", Limit("series")},
                                                            {"series_per_family", Limit("series_per_family")},
                                                            {"series_per_reporter", Limit("series_per_reporter")},
                                                            {"families", Limit("families")},
                                                            {"new_series_per_s", Limit("new_series_per_s")}};
};

}  // namespace wheelpit
