// An HTTP/1.1 client, plain or TLS, for one server: keeps connections, bounds each call by a
// deadline as a whole, reads answers of any length piece by piece.
//
//   WHEELPIT_ASSIGN_OR_RETURN(auto client, HttpClient::Create({.url = "https://10.0.0.1:443",
//   .ca_pem = ca}, &clock));
//   absl::StatusOr<HttpAnswer> answer = client->Call({.target = "/version", .timeout =
//   absl::Seconds(5)});
//
// Thread-safe; calls block. A call on a kept connection that the server has closed in the meantime
// is sent once more on a new one, so servers may see a request twice: use it for requests that bear
// that. Redirects are not followed.
//
// Errors: kUnavailable (name, connection, TLS, an answer that breaks off), kDeadlineExceeded,
// kInternal (what came is not HTTP, or too long), kCancelled. Messages name the cause and no
// secrets.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/http/http_types.h"

namespace wheelpit {

struct HttpClientOptions {
  // Scheme, host and port; its user becomes basic authentication, its path goes before each target.
  std::string url;
  // Trusted instead of the system's; PEM.
  std::string ca_pem;
  // The client's own certificate, with its chain; PEM.
  std::string certificate_pem;
  std::string key_pem;
  // The name that the server's certificate must carry, if it is not the URL's host.
  std::string server_name;
  // Any certificate is taken.
  bool insecure = false;
  std::string user_agent = "wheelpit";
  size_t idle_max = 8;
  uint64_t body_bytes_max = 64ULL << 20;
};

struct HttpCall {
  std::string method = "GET";
  // Path and query, encoded.
  std::string target;
  HttpHeaders headers;
  std::string content_type;
  std::string body;
  absl::Duration timeout = absl::Seconds(10);
};

struct HttpAnswer {
  int status = 0;
  HttpHeaders headers;
  std::string body;

  // First header of that name (any case), or "".
  absl::string_view Header(absl::string_view name) const;
};

class HttpClient {
 public:
  // kInvalidArgument: URL, CA, certificate or key are bad. `clock` outlives it.
  static absl::StatusOr<std::unique_ptr<HttpClient>> Create(HttpClientOptions options,
                                                            const Clock* clock);
  virtual ~HttpClient() = default;

  virtual absl::StatusOr<HttpAnswer> Call(const HttpCall& call) = 0;
  // The body of a 2xx answer goes to `on_data` as it comes, not into the answer; false ends the
  // call, which is kCancelled then.
  virtual absl::StatusOr<HttpAnswer> Stream(const HttpCall& call,
                                            absl::FunctionRef<bool(absl::string_view)> on_data) = 0;
  // Ends calls at work and refuses later ones.
  virtual void Cancel() = 0;
};

}  // namespace wheelpit
