// Prometheus' query API over the live series: /api/v1/query, /api/v1/series.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "base/http/http_types.h"
#include "server/promql/query_engine.h"

namespace wheelpit {

// `query` and `time` (Unix seconds or RFC 3339; absent = now), from the URL or a form body. Times as QueryEngine::QueryAt takes them.
HttpResponse QueryResponse(const QueryEngine& engine, const HttpRequest& request, int64_t now_ms);
// `match[]`, at least one.
HttpResponse SeriesResponse(const QueryEngine& engine, const HttpRequest& request);

// {"status":"error","errorType":…,"error":…}: 400 bad_data, 422 execution, 503 unavailable.
HttpResponse QueryErrorResponse(const absl::Status& status);

// As Prometheus writes sample values: 'f' form unless |v| < 1e-6 or >= 1e21.
std::string FormatQueryValue(double value);

}  // namespace wheelpit
