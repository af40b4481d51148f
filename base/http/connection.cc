#include "base/http/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace wheelpit {
namespace {
constexpr size_t kSmallFill = 4 << 10;
}  // namespace

Connection::Connection(int fd, SSL* ssl, const Clock* clock) : fd_(fd), ssl_(ssl), clock_(clock) {
  if (ssl_ != nullptr) SSL_set_fd(ssl_, fd_);
}

Connection::~Connection() {
  if (ssl_ != nullptr) SSL_free(ssl_);
  close(fd_);
}

IoState Connection::FromSslError(int result) {
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      return IoState::kWantRead;
    case SSL_ERROR_WANT_WRITE:
      return IoState::kWantWrite;
    default:
      return IoState::kClosed;
  }
}

IoState Connection::Handshake() {
  if (ssl_ == nullptr || handshake_done_) return IoState::kDone;
  ERR_clear_error();
  const int result = SSL_accept(ssl_);
  if (result != 1) return FromSslError(result);
  handshake_done_ = true;
  return IoState::kDone;
}

IoState Connection::Receive(char* to, size_t size, size_t* got) {
  *got = 0;
  if (ssl_ != nullptr) {
    ERR_clear_error();
    const int result = SSL_read(ssl_, to, static_cast<int>(std::min<size_t>(size, 1 << 20)));
    if (result <= 0) return FromSslError(result);
    *got = static_cast<size_t>(result);
    return IoState::kDone;
  }
  ssize_t received = 0;
  do {
    received = recv(fd_, to, size, 0);
  } while (received < 0 && errno == EINTR);
  if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return IoState::kWantRead;
  if (received <= 0) return IoState::kClosed;
  *got = static_cast<size_t>(received);
  return IoState::kDone;
}

IoState Connection::Fill(size_t bytes_max) {
  size_t got = 0;
  if (bytes_max <= kSmallFill) {
    // A connection that waits for its next request keeps no more room than its last one took.
    std::array<char, kSmallFill> piece;
    const IoState state = Receive(piece.data(), bytes_max, &got);
    input.append(piece.data(), got);
    return state;
  }
  const size_t had = input.size();
  input.resize(had + bytes_max);
  const IoState state = Receive(&input[had], bytes_max, &got);
  input.resize(had + got);
  return state;
}

IoState Connection::Write(const char* data, size_t size, size_t* written) {
  *written = 0;
  if (ssl_ != nullptr) {
    ERR_clear_error();
    const int result = SSL_write(ssl_, data, static_cast<int>(std::min<size_t>(size, 1 << 20)));
    if (result <= 0) return FromSslError(result);
    *written = static_cast<size_t>(result);
    return IoState::kDone;
  }
  ssize_t sent = 0;
  do {
    sent = send(fd_, data, size, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? IoState::kWantWrite : IoState::kClosed;
  *written = static_cast<size_t>(sent);
  return IoState::kDone;
}

bool Connection::Wait(IoState want_state, int64_t until_ns) const {
  while (true) {
    const int64_t left_ns = until_ns - clock_->MonotonicNanos();
    if (left_ns <= 0) return false;
    pollfd entry = {fd_, static_cast<short>(want_state == IoState::kWantWrite ? POLLOUT : POLLIN), 0};
    const int ready = poll(&entry, 1, static_cast<int>(std::min<int64_t>(left_ns / 1'000'000 + 1, 60'000)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

void Connection::ShutdownWrite() {
  if (ssl_ != nullptr && handshake_done_) {
    ERR_clear_error();
    SSL_shutdown(ssl_);
  }
  shutdown(fd_, SHUT_WR);
}

void Connection::Consume(size_t bytes) {
  input_used += bytes;
  if (input_used == input.size()) {
    input.clear();
    input_used = 0;
    // A large body leaves a large buffer; an idle connection shall not keep it.
    if (input.capacity() > (64 << 10)) input.shrink_to_fit();
  } else if (input_used > (64 << 10)) {
    input.erase(0, input_used);
    input_used = 0;
  }
}

void Connection::ReadPeerAddress() {
  peer_port_ = 0;
  sockaddr_storage address = {};
  socklen_t length = sizeof(address);
  if (getpeername(fd_, reinterpret_cast<sockaddr*>(&address), &length) != 0) return;
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address);
    inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
    peer_port_ = ntohs(v4->sin_port);
  } else if (address.ss_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address);
    inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
    peer_port_ = ntohs(v6->sin6_port);
  }
  peer_address_ = text;
}

HttpPeer Connection::Peer() {
  HttpPeer peer;
  peer.tls = ssl_ != nullptr;
  if (peer_port_ < 0) ReadPeerAddress();
  peer.address = peer_address_;
  peer.port = peer_port_;
  if (ssl_ == nullptr) return peer;
  auto add = [&peer](X509* certificate) {
    unsigned char* der = nullptr;
    const int size = i2d_X509(certificate, &der);
    if (size > 0) peer.certificates_der.emplace_back(reinterpret_cast<char*>(der), static_cast<size_t>(size));
    OPENSSL_free(der);
  };
  // On the server's side the chain does not contain the leaf.
  if (X509* leaf = SSL_get0_peer_certificate(ssl_); leaf != nullptr) add(leaf);
  const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl_);
  for (int i = 0; i < sk_X509_num(chain); ++i) add(sk_X509_value(chain, i));
  return peer;
}

}  // namespace wheelpit
