// The page of stored series: each line is rendered once and its value patched in place, so that a scrape is a copy.
//
// A SeriesListener of the store: notes what changed (engine thread, under the store's lock) and patches at the next scrape.
// Render from any thread; scrapes of one format share one rendering.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "server/series/series_store.h"

namespace wheelpit {

enum class ExpositionFormat { kText004, kOpenMetrics100 };

class PageCache : public SeriesListener {
 public:
  // Registers itself with the store, which must outlive it. Escaping of non-legacy names: `underscores` in text without
  // negotiation.
  static std::unique_ptr<PageCache> Create(SeriesStore* store);
  // Appends families sorted by exposed name, without `# EOF`.
  virtual void Render(ExpositionFormat format, bool created_lines, std::string* out) = 0;
};

}  // namespace wheelpit
