// Whole pages: stored series, queue gauges and the process' own metrics, families sorted.
//
//   auto page = scraper->Scrape(style, filter);   // kResourceExhausted beyond 4 at once
#pragma once

#include <prometheus/collectable.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/exposition/page_cache.h"

namespace wheelpit {

class Scraper {
 public:
  // More families of the page, read at each rendering: own metrics, queue gauges.
  using Source = std::function<std::vector<prometheus::MetricFamily>()>;

  struct Options {
    size_t scrapes_max = 4;  // at once
    std::function<int64_t()> monotonic_ns;  // measures renderings; unset = nothing is measured
  };

  // `pages` outlives it.
  static std::unique_ptr<Scraper> Create(PageCache* pages, std::vector<Source> sources, const Options& options);
  virtual ~Scraper() = default;

  // Thread-safe. Scrapes of one style that come while one is being rendered share the next rendering. With names (exposed family
  // names): only those. kResourceExhausted SCRAPES.
  virtual absl::StatusOr<std::shared_ptr<const std::string>> Scrape(const ExpositionStyle& style,
                                                                    const std::vector<std::string>& names) = 0;
  virtual uint64_t renderings() const = 0;
};

}  // namespace wheelpit
