// Which handler a request goes to: method and path pattern, on raw path segments.
//
//   HttpRouter router;
//   router.Add("GET", "/v1/tasks/{id}", [](const HttpRequest& r, const PathParts& parts) { … parts[0] … });
//   HttpResponse response = router.Handle(request);   // 404, or 405 with Allow, when nothing fits
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/http/http_types.h"

namespace wheelpit {

// What stood in the places of `{…}`, decoded, in order.
using PathParts = std::vector<std::string>;

// Not thread-safe while routes are added; Handle from any thread.
class HttpRouter {
 public:
  using Route = std::function<HttpResponse(const HttpRequest&, const PathParts&)>;

  // A GET route answers HEAD too. The first pattern that fits wins.
  void Add(absl::string_view method, absl::string_view pattern, Route route);
  // Makes 404, 405 and 400 (bad escape) answers; unset = a line of text.
  void SetErrorResponse(std::function<HttpResponse(int status, absl::string_view message)> error_response);
  HttpResponse Handle(const HttpRequest& request) const;
  // Whether any route's pattern fits the path.
  bool Knows(const HttpRequest& request) const;

 private:
  struct Entry {
    std::string method;
    std::vector<std::string> pattern;
    Route route;
  };
  HttpResponse Error(int status, absl::string_view message) const;

  std::vector<Entry> entries_;
  std::function<HttpResponse(int status, absl::string_view message)> error_response_;
};

}  // namespace wheelpit
