// What to answer in, by the Accept header. Pure.
//
//   NegotiateAccept("application/vnd.kubernetes.protobuf, */*", /*aggregated=*/false) -> {kJson}
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace wheelpit::adapter {

struct Negotiated {
  enum class Kind { kJson, kAggregatedDiscovery, kNotAcceptable };
  Kind kind = Kind::kJson;
  // Of aggregated discovery: v2 or v2beta1.
  std::string version;
};

// The best clause that we can answer: by q, then in order. No header is JSON. `aggregated`:
// aggregated discovery documents are on offer. Clauses with another `as` (Table,
// PartialObjectMetadata…) are passed over; types compare in any case.
Negotiated NegotiateAccept(absl::string_view accept, bool aggregated);

}  // namespace wheelpit::adapter
