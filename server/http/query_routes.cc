#include "server/http/query_routes.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/errors.h"

namespace wheelpit {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kSeriesMax = 10'000;

// URL parameters, then those of a form body.
std::vector<std::string> Parameters(const HttpRequest& request, absl::string_view name) {
  std::vector<std::string> values;
  for (const auto& [key, value] : request.query) {
    if (key == name) values.push_back(value);
  }
  if (absl::StartsWithIgnoreCase(request.Header("Content-Type"), "application/x-www-form-urlencoded")) {
    for (auto& [key, value] : ParseQuery(request.body)) {
      if (key == name) values.push_back(std::move(value));
    }
  }
  return values;
}

Json Metric(const Labels& labels) {
  Json metric = Json::object();
  for (const auto& [name, value] : labels.pairs()) metric[name] = value;
  return metric;
}

// Labels and queries may hold bytes that are not UTF-8 only if a room below let them in; they are replaced, not thrown at.
std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

// Unix seconds, with fraction, or RFC 3339.
std::optional<int64_t> ParseTimeMs(const std::string& text) {
  double seconds = 0;
  if (absl::SimpleAtod(text, &seconds)) {
    if (!(std::fabs(seconds) < 1e12)) return std::nullopt;
    return std::llround(seconds * 1000);
  }
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return std::nullopt;
  return absl::ToUnixMillis(time);
}

absl::Status BadData(absl::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_QUERY", message);
}

}  // namespace

std::string FormatQueryValue(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  const double size = std::fabs(value);
  const bool exponent = size != 0 && (size < 1e-6 || size >= 1e21);
  char text[64];
  const auto end = std::to_chars(text, text + sizeof(text), value,
                                 exponent ? std::chars_format::scientific : std::chars_format::fixed);
  return std::string(text, static_cast<size_t>(end.ptr - text));
}

HttpResponse QueryErrorResponse(const absl::Status& status) {
  int code = 422;
  const char* type = "execution";
  if (status.code() == absl::StatusCode::kInvalidArgument) {
    code = 400;
    type = "bad_data";
  } else if (status.code() == absl::StatusCode::kUnavailable) {
    code = 503;
    type = "unavailable";
  }
  Json json;
  json["status"] = "error";
  json["errorType"] = type;
  json["error"] = std::string(status.message());
  return JsonResponse(code, Dump(json));
}

HttpResponse QueryResponse(const QueryEngine& engine, const HttpRequest& request, int64_t now_ms) {
  const std::vector<std::string> queries = Parameters(request, "query");
  if (queries.empty() || queries[0].empty()) return QueryErrorResponse(BadData("parameter \"query\" is missing"));
  int64_t at_ms = now_ms;
  if (const std::vector<std::string> times = Parameters(request, "time"); !times.empty() && !times[0].empty()) {
    const std::optional<int64_t> time = ParseTimeMs(times[0]);
    if (!time.has_value()) {
      return QueryErrorResponse(BadData("invalid parameter \"time\": must be Unix seconds or RFC 3339, like 1700000000.5 or "
                                        "2026-01-02T15:04:05Z"));
    }
    at_ms = *time;
  }
  // What is unknown then is left out of a vector; an answer of nothing else is an error.
  const absl::StatusOr<QueryResult> result = engine.QueryAt(queries[0], at_ms, now_ms, UnknownPolicy::kOmit);
  if (!result.ok()) return QueryErrorResponse(result.status());
  const double at = static_cast<double>(result->evaluated_at_ms) / 1000;
  Json data;
  data["resultType"] = result->is_scalar ? "scalar" : "vector";
  if (result->is_scalar) {
    data["result"] = Json::array({at, FormatQueryValue(result->scalar)});
  } else {
    data["result"] = Json::array();
    for (const QueryElement& element : result->vector) {
      Json one;
      one["metric"] = Metric(element.labels);
      one["value"] = Json::array({at, FormatQueryValue(element.value)});
      data["result"].push_back(std::move(one));
    }
  }
  Json json;
  json["status"] = "success";
  json["data"] = std::move(data);
  if (!result->infos.empty()) json["infos"] = result->infos;
  return JsonResponse(200, Dump(json));
}

HttpResponse SeriesResponse(const QueryEngine& engine, const HttpRequest& request) {
  const std::vector<std::string> selectors = Parameters(request, "match[]");
  if (selectors.empty()) return QueryErrorResponse(BadData("no match[] parameter provided"));
  bool truncated = false;
  const absl::StatusOr<std::vector<Labels>> series = engine.Series(selectors, kSeriesMax, &truncated);
  if (!series.ok()) return QueryErrorResponse(series.status());
  Json json;
  json["status"] = "success";
  json["data"] = Json::array();
  for (const Labels& labels : *series) json["data"].push_back(Metric(labels));
  if (truncated) json["warnings"] = Json::array({absl::StrCat("results truncated to ", kSeriesMax, " series")});
  return JsonResponse(200, Dump(json));
}

}  // namespace wheelpit
