// Which format a scraper gets, from its Accept header. Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "server/exposition/names.h"

namespace wheelpit {

enum class ExpositionFormat { kText, kOpenMetrics };

struct ExpositionStyle {
  ExpositionFormat format = ExpositionFormat::kText;
  Escaping escaping = Escaping::kUnderscores;
  // `x_created` for counters.
  bool created = false;
  friend bool operator==(const ExpositionStyle&, const ExpositionStyle&) = default;
};

struct Negotiated {
  ExpositionStyle style;
  std::string content_type;
};

// The best clause that names a format we have: text 0.0.4 and 1.0.0, OpenMetrics 0.0.1 and 1.0.0. None: text 0.0.4.
Negotiated NegotiateExposition(absl::string_view accept);

}  // namespace wheelpit
