// One request handed to the handler and its answer written out by httplib, over a stream that is all in memory on the reading side.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/http/http_server.h"
#include "base/http/session.h"

namespace wheelpit {

// Blocks until all is written, the other side is gone, or the transfer deadline has passed (false).
bool WriteAll(Connection* connection, absl::string_view data, int64_t transfer_ms);

// The accept loop and the writer of answers.
class ExchangeRunner {
 public:
  // `accepted` gets each new socket, on the accepting thread.
  ExchangeRunner(const HttpServerOptions* options, const HttpHandler* handler, const Clock* clock,
                 std::function<void(int fd)> accepted);
  ~ExchangeRunner();

  // Takes a listening socket and accepts until it is shut down or fails; closes it.
  void AcceptUntilClosed(int listen_fd);
  // Runs the handler on the session's complete request. False: close the connection without another word.
  bool Run(Session* session, bool keep_alive);
  // Writes an answer that the handler has not made.
  bool Refuse(Session* session, int status, absl::string_view message);

 private:
  class Library;
  bool Answer(Session* session, absl::string_view method, const HttpResponse& response, bool keep_alive);
  const HttpServerOptions* const options_;
  const HttpHandler* const handler_;
  const Clock* const clock_;
  std::unique_ptr<Library> library_;
};

}  // namespace wheelpit
