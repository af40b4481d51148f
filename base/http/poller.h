// Where connections wait that have nothing to do: they cost memory but no thread.
#pragma once

#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/clock.h"
#include "base/http/session.h"
#include "base/sync.h"

namespace wheelpit {

// Thread-safe.
class Poller {
 public:
  explicit Poller(const Clock* clock);
  ~Poller();

  // Until the socket is ready for `session->want`; closed when `session->deadline_ns` passes first.
  void Park(std::unique_ptr<Session> session);
  // Waits for a session whose socket can move on; null after Close. Of many threads that wait, one wakes for each.
  std::unique_ptr<Session> Take();
  // Closes what has waited too long, until Close.
  void Sweep();
  // Closes those that wait for a new request, now and from here on.
  void CloseIdle();
  // Closes all that is parked, now and from here on, and ends Take and Sweep.
  void Close();

 private:
  using Parked = absl::flat_hash_map<int, std::unique_ptr<Session>>;
  std::vector<std::unique_ptr<Session>> TakeExpired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static bool IsIdle(const Session& session);

  const Clock* const clock_;
  const int epoll_fd_;
  // Readable from Close on.
  const int closed_fd_;
  Mutex mu_;
  CondVar sweep_;
  Parked parked_ ABSL_GUARDED_BY(mu_);
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace wheelpit
