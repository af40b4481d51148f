#include "adapter/source/promql_answer.h"

#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace wheelpit::adapter {
namespace {

using Json = nlohmann::json;

constexpr size_t kMessageBytesMax = 256;

absl::Status Failure(absl::StatusCode code, const char* reason, absl::string_view message) {
  return MakeError(code, reason, absl::StrCat("prometheus: ", message));
}

absl::Status BadAnswer(absl::string_view message) {
  return Failure(absl::StatusCode::kInternal, kReasonBadAnswer, message);
}

std::string Text(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

// Not the API's own words: a proxy's page, or a server that is something else.
absl::Status ForeignAnswer(const PromqlAnswer& answer) {
  const std::string what = absl::StrCat(
      "HTTP ", answer.http_status,
      answer.content_type.empty() ? "" : absl::StrCat(" (", answer.content_type.substr(0, 64), ")"));
  switch (answer.http_status) {
    case 401:
    case 403:
      return Failure(absl::StatusCode::kPermissionDenied, kReasonUnauthorized, what);
    case 429:
    case 502:
    case 503:
    case 504:
      return Failure(absl::StatusCode::kUnavailable, kReasonUnreachable, what);
    default:
      return BadAnswer(absl::StrCat(what, " is no answer of a query API"));
  }
}

absl::Status ApiError(const Json& json) {
  const std::string type = Text(json, "errorType");
  const std::string message =
      absl::StrCat(type, ": ", absl::string_view(Text(json, "error")).substr(0, kMessageBytesMax));
  if (type == "bad_data")
    return Failure(absl::StatusCode::kInvalidArgument, kReasonBadQuery, message);
  if (type == "timeout")
    return Failure(absl::StatusCode::kDeadlineExceeded, kReasonTimeout, message);
  if (type == "unavailable")
    return Failure(absl::StatusCode::kUnavailable, kReasonUnreachable, message);
  if (type == "unauthorized" || type == "forbidden")
    return Failure(absl::StatusCode::kPermissionDenied, kReasonUnauthorized, message);
  return Failure(absl::StatusCode::kFailedPrecondition, kReasonExecution, message);
}

// The `data` of a successful answer.
absl::StatusOr<Json> Data(const PromqlAnswer& answer) {
  const int status = answer.http_status;
  const bool api = (status >= 200 && status < 300) || status == 400 || status == 422 || status == 503;
  if (!api) return ForeignAnswer(answer);
  Json json = Json::parse(answer.body.begin(), answer.body.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return ForeignAnswer(answer);
  const std::string verdict = Text(json, "status");
  if (verdict == "error") return ApiError(json);
  if (verdict != "success" || status >= 300) return ForeignAnswer(answer);
  const auto data = json.find("data");
  if (data == json.end() || data->is_null()) return BadAnswer("an answer without data");
  return std::move(*data);
}

absl::StatusOr<SourceLabels> Labels(const Json& json) {
  if (!json.is_object()) return BadAnswer("labels that are no object");
  SourceLabels labels;
  for (const auto& [name, value] : json.items()) {
    if (!value.is_string()) return BadAnswer("a label value that is no text");
    labels.emplace(name, value.get<std::string>());
  }
  return labels;
}

// [1714557600.123, "42"]
absl::Status Sample(const Json& json, double* value, absl::Time* at) {
  if (!json.is_array() || json.size() != 2 || !json[0].is_number() || !json[1].is_string())
    return BadAnswer("a sample that is not [time, \"value\"]");
  // NaN, +Inf, -Inf and exponents are among what it reads.
  if (!absl::SimpleAtod(json[1].get<std::string>(), value))
    return BadAnswer(absl::StrCat("a sample value ", Quoted(json[1].get<std::string>())));
  *at = absl::FromUnixMillis(static_cast<int64_t>(json[0].get<double>() * 1000 + 0.5));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SourceResult> ReadQueryAnswer(const PromqlAnswer& answer, absl::Time asked_at) {
  WHEELPIT_ASSIGN_OR_RETURN(const Json data, Data(answer));
  if (!data.is_object() || !data.contains("result")) return BadAnswer("an answer without result");
  const Json& result = data["result"];
  const std::string type = Text(data, "resultType");
  SourceResult out;
  out.evaluated_at = asked_at;
  if (type == "scalar") {
    out.is_scalar = true;
    WHEELPIT_RETURN_IF_ERROR(Sample(result, &out.elements.emplace_back().value, &out.evaluated_at));
    return out;
  }
  if (type != "vector") {
    return Failure(absl::StatusCode::kFailedPrecondition, kReasonExecution,
                   absl::StrCat("encountered an unexpected query result type ", Quoted(type)));
  }
  if (!result.is_array()) return BadAnswer("a vector that is no list");
  for (const Json& element : result) {
    if (!element.is_object() || !element.contains("metric"))
      return BadAnswer("an element without metric");
    if (!element.contains("value")) {
      return Failure(absl::StatusCode::kFailedPrecondition, kReasonExecution,
                     "an element is a histogram and has no single value");
    }
    SourceElement& made = out.elements.emplace_back();
    WHEELPIT_ASSIGN_OR_RETURN(made.labels, Labels(element["metric"]));
    WHEELPIT_RETURN_IF_ERROR(Sample(element["value"], &made.value, &out.evaluated_at));
  }
  return out;
}

absl::StatusOr<SourceSeries> ReadSeriesAnswer(const PromqlAnswer& answer) {
  WHEELPIT_ASSIGN_OR_RETURN(const Json data, Data(answer));
  if (!data.is_array()) return BadAnswer("series that are no list");
  SourceSeries out;
  out.series.reserve(data.size());
  for (const Json& series : data) {
    WHEELPIT_ASSIGN_OR_RETURN(SourceLabels labels, Labels(series));
    out.series.push_back(std::move(labels));
  }
  return out;
}

}  // namespace wheelpit::adapter
