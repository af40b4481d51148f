#include "base/http/client_connection.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace wheelpit {
namespace {

constexpr int64_t kNsPerMs = 1'000'000;

struct AddressFree {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

bool IsAddress(const std::string& host) {
  ASN1_OCTET_STRING* const address = a2i_IPADDRESS(host.c_str());
  ASN1_OCTET_STRING_free(address);
  ERR_clear_error();
  return address != nullptr;
}

absl::Status Broken(absl::string_view what, int error) {
  return absl::UnavailableError(absl::StrCat(what, ": ", strerror(error)));
}

}  // namespace

ClientConnection::~ClientConnection() {
  if (ssl_ != nullptr) SSL_free(ssl_);
  if (fd_ >= 0) ::close(fd_);
  ERR_clear_error();
}

absl::Status ClientConnection::Wait(short events, int64_t deadline_ns) const {
  while (true) {
    const int64_t left_ns = deadline_ns - clock_.MonotonicNanos();
    if (left_ns <= 0) return absl::DeadlineExceededError("no answer in time");
    pollfd wait = {fd_, events, 0};
    const int64_t left_ms = std::min<int64_t>(left_ns / kNsPerMs + 1, 1'000'000);
    const int ready = ::poll(&wait, 1, static_cast<int>(left_ms));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return Broken("poll", errno);
  }
}

absl::Status ClientConnection::Connect(const Url& url, int64_t deadline_ns) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG;
  // AI_ADDRCONFIG knows no loopback: literal addresses must not depend on it.
  if (IsAddress(url.host)) hints.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(url.host.c_str(), absl::StrCat(url.port).c_str(), &hints, &found);
  if (error != 0)
    return absl::UnavailableError(absl::StrCat("name ", url.host, ": ", gai_strerror(error)));
  const std::unique_ptr<addrinfo, AddressFree> addresses(found);
  absl::Status failure = absl::UnavailableError(absl::StrCat("name ", url.host, ": no address"));
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = ::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    if (fd_ < 0) {
      failure = Broken("socket", errno);
      continue;
    }
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    ::setsockopt(fd_, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    if (::connect(fd_, a->ai_addr, a->ai_addrlen) == 0) return absl::OkStatus();
    int connect_error = errno;
    if (connect_error == EINPROGRESS) {
      WHEELPIT_RETURN_IF_ERROR(Wait(POLLOUT, deadline_ns));
      socklen_t length = sizeof(connect_error);
      ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &connect_error, &length);
    }
    if (connect_error == 0) return absl::OkStatus();
    failure = Broken(absl::StrCat("connecting to ", url.Authority()), connect_error);
  }
  return failure;
}

absl::Status ClientConnection::WaitTls(int result, int64_t deadline_ns,
                                       absl::string_view what) const {
  const int kind = SSL_get_error(ssl_, result);
  if (kind == SSL_ERROR_WANT_READ) return Wait(POLLIN, deadline_ns);
  if (kind == SSL_ERROR_WANT_WRITE) return Wait(POLLOUT, deadline_ns);
  std::string reason = "connection closed";
  if (const unsigned long code = ERR_get_error(); code != 0) {
    const char* text = ERR_reason_error_string(code);
    reason = text == nullptr ? "failed" : text;
  } else if (kind == SSL_ERROR_SYSCALL && errno != 0) {
    reason = strerror(errno);
  }
  ERR_clear_error();
  if (const long verified = SSL_get_verify_result(ssl_); verified != X509_V_OK)
    reason = X509_verify_cert_error_string(verified);
  return absl::UnavailableError(absl::StrCat(what, ": ", reason));
}

absl::Status ClientConnection::StartTls(SSL_CTX* context, const std::string& server_name,
                                        bool check_name, int64_t deadline_ns) {
  ssl_ = SSL_new(context);
  if (ssl_ == nullptr || SSL_set_fd(ssl_, fd_) != 1)
    return absl::InternalError("TLS: no connection object");
  if (IsAddress(server_name)) {
    if (check_name) X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), server_name.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl_, server_name.c_str());
    if (check_name) SSL_set1_host(ssl_, server_name.c_str());
  }
  while (true) {
    ERR_clear_error();
    errno = 0;
    const int result = SSL_connect(ssl_);
    if (result == 1) return absl::OkStatus();
    WHEELPIT_RETURN_IF_ERROR(WaitTls(result, deadline_ns, "TLS"));
  }
}

absl::Status ClientConnection::Write(absl::string_view bytes, int64_t deadline_ns) {
  while (!bytes.empty()) {
    errno = 0;
    if (ssl_ != nullptr) {
      ERR_clear_error();
      const int written = SSL_write(ssl_, bytes.data(), static_cast<int>(std::min<size_t>(bytes.size(), 1 << 20)));
      if (written > 0) {
        bytes.remove_prefix(static_cast<size_t>(written));
        continue;
      }
      WHEELPIT_RETURN_IF_ERROR(WaitTls(written, deadline_ns, "sending"));
      continue;
    }
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
    if (sent >= 0 || errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return Broken("sending", errno);
    WHEELPIT_RETURN_IF_ERROR(Wait(POLLOUT, deadline_ns));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> ClientConnection::Read(std::string* buffer, int64_t deadline_ns) {
  std::array<char, 64 << 10> piece;
  while (true) {
    errno = 0;
    // A sender that never pauses must not outrun the deadline.
    if (clock_.MonotonicNanos() >= deadline_ns)
      return absl::DeadlineExceededError("no answer in time");
    ssize_t got = 0;
    if (ssl_ != nullptr) {
      ERR_clear_error();
      got = SSL_read(ssl_, piece.data(), static_cast<int>(piece.size()));
      if (got <= 0) {
        const int kind = SSL_get_error(ssl_, static_cast<int>(got));
        if (kind == SSL_ERROR_ZERO_RETURN) return false;
        WHEELPIT_RETURN_IF_ERROR(WaitTls(static_cast<int>(got), deadline_ns, "reading"));
        continue;
      }
    } else {
      got = ::recv(fd_, piece.data(), piece.size(), 0);
      if (got == 0) return false;
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return Broken("reading", errno);
      if (got < 0) {
        WHEELPIT_RETURN_IF_ERROR(Wait(POLLIN, deadline_ns));
        continue;
      }
    }
    buffer->append(piece.data(), static_cast<size_t>(got));
    return true;
  }
}

}  // namespace wheelpit
