// Where connections wait that have nothing to do: they cost memory but no thread.
#pragma once

#include <functional>
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
  // `ready` gets each session whose socket can move on; called on the polling thread.
  Poller(const Clock* clock, std::function<void(std::unique_ptr<Session>)> ready);
  ~Poller();

  // Until the socket is ready for `session->want`; closed when `session->deadline_ns` passes first.
  void Park(std::unique_ptr<Session> session);
  // The polling thread: returns after Close.
  void Loop();
  // Closes those that wait for a new request, now and from here on.
  void CloseIdle();
  // Closes all that is parked, now and from here on, and ends Loop.
  void Close();

 private:
  void Wake();
  std::vector<std::unique_ptr<Session>> TakeExpired();
  static bool IsIdle(const Session& session);

  const Clock* const clock_;
  const std::function<void(std::unique_ptr<Session>)> ready_;
  const int epoll_fd_;
  const int wake_fd_;
  Mutex mu_;
  absl::flat_hash_map<int, std::unique_ptr<Session>> parked_ ABSL_GUARDED_BY(mu_);
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace wheelpit
