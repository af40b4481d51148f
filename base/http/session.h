// One connection with the request that is arriving on it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/http/chunked.h"
#include "base/http/connection.h"
#include "base/http/request_head.h"

namespace wheelpit {

// What all connections of a server use together. Relaxed counters: limits may be overrun by the few that pass at the same moment.
struct SharedUse {
  std::atomic<size_t> connections{0};
  std::atomic<uint64_t> body_bytes{0};
};

struct Session {
  Session(int fd, SSL* ssl, const Clock* clock, SharedUse* shared) : connection(fd, ssl, clock), use(shared) {
    use->connections.fetch_add(1, std::memory_order_relaxed);
  }
  ~Session() {
    ReleaseBody();
    use->connections.fetch_sub(1, std::memory_order_relaxed);
  }

  void ReserveBody(uint64_t bytes) {
    use->body_bytes.fetch_add(bytes, std::memory_order_relaxed);
    reserved += bytes;
  }
  void ReleaseBody() {
    use->body_bytes.fetch_sub(reserved, std::memory_order_relaxed);
    reserved = 0;
  }

  Connection connection;
  SharedUse* const use;
  enum class Phase { kHandshake, kHead, kBody, kLinger };
  Phase phase = Phase::kHandshake;
  // By when the present phase must have moved on; the poller closes the connection after it.
  int64_t deadline_ns = 0;
  IoState want = IoState::kWantRead;  // while parked
  bool polled = false;                // the poller knows the socket
  bool head_started = false;
  RequestHead head;
  ChunkedDecoder decoder;
  std::string body;
  int64_t body_started_ns = 0;
  uint64_t reserved = 0;
  size_t discarded = 0;  // while lingering
};

}  // namespace wheelpit
