// One accepted connection, plain or TLS: non-blocking reads and writes, and waiting with a deadline.
//
// Owned by one thread at a time (a pool thread, or the poller while it is parked).
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/http/http_types.h"

namespace wheelpit {

enum class IoState { kDone, kWantRead, kWantWrite, kClosed };

class Connection {
 public:
  // Owns both; `ssl` is null for plain connections.
  Connection(int fd, SSL* ssl, const Clock* clock);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // kDone once the TLS handshake is over (at once if plain).
  IoState Handshake();
  // Reads what is there, at most `bytes_max`, and appends it to `input`. kClosed: end or error.
  IoState Fill(size_t bytes_max);
  // kDone: wrote `*written` > 0 bytes.
  IoState Write(const char* data, size_t size, size_t* written);
  // Blocks until the socket is ready or the deadline has passed (false).
  bool Wait(IoState want, int64_t deadline_ns) const;
  // Tells the other side that nothing more is sent.
  void ShutdownWrite();

  int fd() const { return fd_; }
  // Address, port and certificates; complete after the handshake.
  HttpPeer Peer();
  int64_t Now() const { return clock_->MonotonicNanos(); }

  // Bytes received and not yet used: input.substr(input_used).
  std::string input;
  size_t input_used = 0;
  absl::string_view pending() const { return absl::string_view(input).substr(input_used); }
  void Consume(size_t bytes);

 private:
  IoState FromSslError(int result);
  // kDone: `*got` > 0 bytes are there.
  IoState Receive(char* to, size_t size, size_t* got);

  void ReadPeerAddress();

  const int fd_;
  SSL* const ssl_;
  const Clock* const clock_;
  bool handshake_done_ = false;
  std::string peer_address_;
  int peer_port_ = -1;  // not read yet
};

}  // namespace wheelpit
