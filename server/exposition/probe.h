// Own metrics of the exposition room.
#pragma once

#include "base/metrics.h"

namespace wheelpit {

struct ExpositionProbe {
  static ExpositionProbe& Get() {
    static ExpositionProbe* const probe = new ExpositionProbe();
    return *probe;
  }
  Counter* const collisions = OwnMetrics().AddCounter(
      "wheelpit_exposition_name_collisions_total",
      "Families left out of a page because another one has the same exposed name. Rising: names differ only in what a scraper cannot read.");
  Histogram* const render_seconds = OwnMetrics().AddHistogram(
      "wheelpit_scrape_render_duration_seconds", "Time to bring a page up to date and copy it. Rising: more series, or more of them change.",
      LatencyBounds());
};

}  // namespace wheelpit
