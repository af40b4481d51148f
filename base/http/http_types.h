// What handlers see of HTTP: plain values, so that they are tested as functions.
//
//   HttpResponse Handle(const HttpRequest& request) {
//     if (request.path == std::vector<std::string>{"healthz"}) return TextResponse(200, "ok\n");
//     …
//   }
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace wheelpit {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// Who sent a request.
struct HttpPeer {
  std::string address;
  int port = 0;
  bool tls = false;
  // Client certificate chain as sent, leaf first, DER. Requested but not verified by the server: the handler judges it.
  std::vector<std::string> certificates_der;
};

struct HttpRequest {
  std::string method;
  // As received: path and query, not decoded.
  std::string target;
  // The path of `target`, split at `/` (without the first one), not decoded: `/a%2Fb/c` is {"a%2Fb", "c"}, `/` is {""}.
  std::vector<std::string> path;
  // Decoded; in order, names may repeat.
  std::vector<std::pair<std::string, std::string>> query;
  // In order, names as received, values raw (percent signs untouched).
  HttpHeaders headers;
  std::string body;
  HttpPeer peer;

  // First header of that name (any case), or "".
  absl::string_view Header(absl::string_view name) const;
  bool HasHeader(absl::string_view name) const;
  // All of that name, in order.
  std::vector<absl::string_view> HeaderValues(absl::string_view name) const;
  // First query parameter of that name, or "".
  absl::string_view Query(absl::string_view name) const;
  bool HasQuery(absl::string_view name) const;
  // `/` + segments joined: the raw path.
  std::string RawPath() const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type;
  // Without Content-Type, Content-Length, Connection, Date: the server writes those.
  HttpHeaders headers;
  std::string body;
  // Sent instead of `body` if set: one immutable page for many scrapes.
  std::shared_ptr<const std::string> shared_body;
  // Close the connection without an answer: for what went wrong too late.
  bool abort = false;

  const std::string& content() const { return shared_body != nullptr ? *shared_body : body; }
};

// Runs on a pool thread and may block; called from many threads at once.
using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;

HttpResponse TextResponse(int status, std::string body);
HttpResponse JsonResponse(int status, std::string body);
// `message` as one line of text.
HttpResponse ErrorTextResponse(int status, absl::string_view message);

// %XX decoded; false on a bad escape. `plus`: `+` is a space.
bool PercentDecode(absl::string_view text, bool plus, std::string* out);
// Everything but unreserved characters as %XX.
std::string PercentEncode(absl::string_view text);
// `a=1&b=2` decoded; bad escapes are kept as they are.
std::vector<std::pair<std::string, std::string>> ParseQuery(absl::string_view text);
// Sets path and query from target.
void SplitTarget(HttpRequest* request);

}  // namespace wheelpit
