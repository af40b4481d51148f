// The HTTP/1.1 server of every Wheelpit program, plain or TLS: cpp-httplib 0.11.4 with its faults mended (docs/decisions).
//
//   auto server = HttpServer::Start({.port = 0}, handler, threads, &clock);   // StatusOr
//   LOG((*server)->port()); … (*server)->Stop(grace_ms);
//
// What is mended: targets and header values reach the handler as they were sent; an idle or slow connection holds no thread, only
// memory within bounds; request heads and bodies are parsed strictly and within limits (400, 408, 413, 414, 415, 417, 431, 501,
// 505) before httplib sees them; answers are compressed once; the backlog is 512; a busy port is an error; an accept error does
// not end the server; Stop finishes what has begun.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/http/http_types.h"
#include "base/http/tls_options.h"
#include "base/http/worker_pool.h"

namespace wheelpit {

struct HttpServerOptions {
  std::string name = "http";  // of threads and log lines, at most 15 bytes
  std::string host = "127.0.0.1";
  int port = 0;  // 0 = any free one
  // PEM; both empty = plain HTTP.
  std::string certificate_pem;
  std::string key_pem;
  ServerTlsOptions tls;
  size_t threads_max = 512;  // handlers at once
  size_t connections_max = 10'000;
  uint64_t body_bytes_max = 18ULL << 20;         // of one request
  uint64_t body_bytes_all_max = 256ULL << 20;    // of all requests at work together
  int64_t keep_alive_ms = 100'000;               // an idle connection lives so long
  int64_t head_ms = 10'000;                      // handshake; request head from its first byte
  // Bodies and answers: so long, and a second more for each 16 KiB moved.
  int64_t transfer_ms = 30'000;
  // Answers of at least so many bytes are gzipped if the client accepts it and the handler did not encode them.
  size_t gzip_bytes_min = 1400;
  // Makes the answers that the server gives without the handler (4xx, 5xx); unset = a line of text.
  std::function<HttpResponse(int status, absl::string_view message)> error_response;
};

// Thread-safe.
class HttpServer {
 public:
  // Binds, listens and serves; `threads` makes one accepting thread, one sweeping thread and the pool's. `clock` outlives the server.
  // kAlreadyExists: the port is taken. kInvalidArgument: host, port, certificate or key are bad.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(HttpServerOptions options, HttpHandler handler,
                                                           ThreadFactory threads, const Clock* clock);
  virtual ~HttpServer() = default;  // stops at once

  // The real one.
  virtual int port() const = 0;
  // New connections use it; kInvalidArgument leaves the old one in use.
  virtual absl::Status SetCertificate(absl::string_view certificate_pem, absl::string_view key_pem) = 0;
  // Takes no new connections or requests, lets those at work finish (answers say `Connection: close`), cuts after `grace_ms` what is
  // still being sent, and joins every thread. A handler that waits must be ended by its owner.
  virtual void Stop(int64_t grace_ms) = 0;
  virtual size_t connections() const = 0;
  virtual uint64_t requests() const = 0;
};

}  // namespace wheelpit
