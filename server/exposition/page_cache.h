// The page of stored series: each line is rendered once and its value patched in place, so that a scrape is a copy.
//
// A SeriesListener of the store: notes what changed (engine thread, under the store's lock) and patches at the next Render.
// Lines live in chunks of a few KiB: a value of the same width is overwritten; one that grew a digit moves the rest of its chunk,
// once per Render however many grew. What is not legacy-valid, or wanted with `x_created`, is rendered anew from the store.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/exposition/negotiation.h"
#include "server/exposition/text_writer.h"
#include "server/series/series_store.h"

namespace wheelpit {

// Whether a family is wanted, by exposed name. Unset: all.
using FamilyFilter = std::function<bool(absl::string_view exposed_name)>;

class PageCache : public SeriesListener {
 public:
  // Registers itself with the store, which must outlive it. Call before the engine thread starts.
  static std::unique_ptr<PageCache> Create(SeriesStore* store);

  // Appends the stored families and `more`, sorted by exposed name, without `# EOF`. Of two families of one exposed name the first by
  // original name is kept, a stored one before one of `more`. Any thread; one at a time does the work.
  virtual void Render(const ExpositionStyle& style, const std::vector<RenderedFamily>& more, const FamilyFilter& wanted,
                      std::string* out) = 0;

  struct Stats {
    size_t lines = 0;
    size_t chunks = 0;
    size_t text_bytes = 0;
    uint64_t patched = 0;          // values overwritten in place
    uint64_t chunks_moved = 0;     // chunks whose lines changed width
    uint64_t name_collisions = 0;  // families left out
  };
  virtual Stats stats() const = 0;
};

}  // namespace wheelpit
