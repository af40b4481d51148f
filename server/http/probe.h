// Own metrics of the HTTP door.
#pragma once

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/metrics.h"
#include "base/sync.h"

namespace wheelpit {

// Thread-safe. Statuses come from a few routes: their cells are made when first seen.
class HttpProbe {
 public:
  void Answered(absl::string_view route, int code) { Cell(route, code)->Add(); }

  void Scraped(absl::string_view format, absl::string_view encoding, int code, size_t bytes, double seconds) {
    const MetricLabels labels = {{"format", std::string(format)}, {"encoding", std::string(encoding)}};
    MetricLabels with_code = labels;
    with_code.emplace_back("code", absl::StrCat(code));
    OwnMetrics()
        .AddCounter("wheelpit_scrapes_total", "Scrapes of /metrics. Codes other than 200: scrapers come too often at once.",
                    std::move(with_code))
        ->Add();
    OwnMetrics()
        .AddCounter("wheelpit_scrape_bytes_total", "Bytes of pages handed to scrapers. Rising per scrape: more series.", labels)
        ->Add(bytes);
    OwnMetrics()
        .AddHistogram("wheelpit_scrape_duration_seconds", "Time to make the answer to a scrape, compression included. Rising: more series.",
                      LatencyBounds(), {{"format", std::string(format)}})
        ->Observe(seconds);
  }

 private:
  Counter* Cell(absl::string_view route, int code) {
    MutexLock lock(&mu_);
    Counter*& cell = requests_[absl::StrCat(route, " ", code)];
    if (cell == nullptr) {
      cell = OwnMetrics().AddCounter("wheelpit_http_requests_total", "HTTP requests. Rising 4xx or 5xx: look at the route's clients.",
                                     {{"route", std::string(route)}, {"code", absl::StrCat(code)}});
    }
    return cell;
  }

  Mutex mu_;
  absl::flat_hash_map<std::string, Counter*> requests_ ABSL_GUARDED_BY(mu_);
};

inline HttpProbe& ServerHttpProbe() {
  static HttpProbe* const probe = new HttpProbe();
  return *probe;
}

}  // namespace wheelpit
