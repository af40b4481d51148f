#include "base/http/router.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace wheelpit {
namespace {

bool IsPlace(absl::string_view segment) { return absl::StartsWith(segment, "{"); }

// Segments are compared raw: an escaped slash stays within its segment.
bool Fits(const std::vector<std::string>& pattern, const std::vector<std::string>& path) {
  return std::equal(pattern.begin(), pattern.end(), path.begin(), path.end(),
                    [](const std::string& p, const std::string& s) { return IsPlace(p) ? !s.empty() : p == s; });
}

}  // namespace

void HttpRouter::Add(absl::string_view method, absl::string_view pattern, Route route) {
  absl::ConsumePrefix(&pattern, "/");
  entries_.push_back({std::string(method), absl::StrSplit(pattern, '/'), std::move(route)});
}

void HttpRouter::SetErrorResponse(std::function<HttpResponse(int status, absl::string_view message)> error_response) {
  error_response_ = std::move(error_response);
}

HttpResponse HttpRouter::Error(int status, absl::string_view message) const {
  return error_response_ ? error_response_(status, message) : ErrorTextResponse(status, message);
}

bool HttpRouter::Knows(const HttpRequest& request) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&request](const Entry& entry) { return Fits(entry.pattern, request.path); });
}

HttpResponse HttpRouter::Handle(const HttpRequest& request) const {
  std::vector<std::string> allowed;
  for (const Entry& entry : entries_) {
    if (!Fits(entry.pattern, request.path)) continue;
    if (entry.method != request.method && !(entry.method == "GET" && request.method == "HEAD")) {
      allowed.push_back(entry.method);
      if (entry.method == "GET") allowed.push_back("HEAD");
      continue;
    }
    PathParts parts;
    for (size_t i = 0; i < entry.pattern.size(); ++i) {
      if (!IsPlace(entry.pattern[i])) continue;
      std::string part;
      if (!PercentDecode(request.path[i], /*plus=*/false, &part)) return Error(400, "bad escape in the path");
      parts.push_back(std::move(part));
    }
    return entry.route(request, parts);
  }
  if (allowed.empty()) return Error(404, absl::StrCat("no such page: ", request.RawPath().substr(0, 256)));
  HttpResponse response = Error(405, "method not allowed");
  response.headers.emplace_back("Allow", absl::StrJoin(allowed, ", "));
  return response;
}

}  // namespace wheelpit
