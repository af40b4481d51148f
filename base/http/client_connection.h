// A socket to a server, perhaps with TLS, on which nothing blocks beyond a deadline.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/http/url.h"

namespace wheelpit {

// Not thread-safe; another thread may shut its socket down to end a wait.
class ClientConnection {
 public:
  explicit ClientConnection(const Clock* clock) : clock_(*clock) {}
  ~ClientConnection();
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;

  // Deadlines are in the clock's monotonic nanoseconds.
  absl::Status Connect(const Url& url, int64_t deadline_ns);
  // `server_name`: what the certificate must carry; checked by the context's rules.
  absl::Status StartTls(SSL_CTX* context, const std::string& server_name, bool check_name,
                        int64_t deadline_ns);
  absl::Status Write(absl::string_view bytes, int64_t deadline_ns);
  // Appends what has come, at most 64 KiB; false at the end of the stream.
  absl::StatusOr<bool> Read(std::string* buffer, int64_t deadline_ns);
  int fd() const { return fd_; }

 private:
  absl::Status Wait(short events, int64_t deadline_ns) const;
  // After an SSL call: kOk to try again, else why not.
  absl::Status WaitTls(int result, int64_t deadline_ns, absl::string_view what) const;

  const Clock& clock_;
  int fd_ = -1;
  SSL* ssl_ = nullptr;
};

}  // namespace wheelpit
