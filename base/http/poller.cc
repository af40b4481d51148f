#include "base/http/poller.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "base/check.h"

namespace wheelpit {
namespace {
constexpr absl::Duration kSweepEvery = absl::Milliseconds(500);
}  // namespace

Poller::Poller(const Clock* clock)
    : clock_(clock), epoll_fd_(epoll_create1(EPOLL_CLOEXEC)), closed_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  WHEELPIT_CHECK(epoll_fd_ >= 0 && closed_fd_ >= 0, "errno %d", errno);
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.fd = closed_fd_;
  WHEELPIT_CHECK(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, closed_fd_, &event) == 0, "errno %d", errno);
}

Poller::~Poller() {
  close(epoll_fd_);
  close(closed_fd_);
}

bool Poller::IsIdle(const Session& session) {
  return session.phase == Session::Phase::kHandshake || session.phase == Session::Phase::kLinger ||
         (session.phase == Session::Phase::kHead && !session.head_started);
}

void Poller::Park(std::unique_ptr<Session> session) {
  const int fd = session->connection.fd();
  epoll_event event = {};
  event.events = (session->want == IoState::kWantWrite ? EPOLLOUT : EPOLLIN) | EPOLLONESHOT;
  event.data.fd = fd;
  const int operation = session->polled ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  session->polled = true;
  MutexLock lock(&mu_);
  if (closed_ || (draining_ && IsIdle(*session))) return;  // `session` closes the socket
  // Within the lock, so that no event is taken for a session that is not in the map yet.
  if (epoll_ctl(epoll_fd_, operation, fd, &event) == 0) parked_[fd] = std::move(session);
}

std::unique_ptr<Session> Poller::Take() {
  while (true) {
    // One at a time: what else is ready, other threads take.
    epoll_event event = {};
    const int count = epoll_wait(epoll_fd_, &event, 1, -1);
    WHEELPIT_CHECK(count >= 0 || errno == EINTR, "errno %d", errno);
    MutexLock lock(&mu_);
    if (closed_) return nullptr;
    if (count != 1) continue;
    const auto found = parked_.find(event.data.fd);
    // It may have expired meanwhile.
    if (found == parked_.end()) continue;
    std::unique_ptr<Session> session = std::move(found->second);
    parked_.erase(found);
    return session;
  }
}

std::vector<std::unique_ptr<Session>> Poller::TakeExpired() {
  const int64_t now = clock_->MonotonicNanos();
  std::vector<std::unique_ptr<Session>> expired;
  for (auto it = parked_.begin(); it != parked_.end();) {
    auto here = it++;
    if (here->second->deadline_ns > now && !(draining_ && IsIdle(*here->second))) continue;
    expired.push_back(std::move(here->second));
    parked_.erase(here);
  }
  return expired;
}

void Poller::Sweep() {
  while (true) {
    std::vector<std::unique_ptr<Session>> expired;  // closed outside the lock
    MutexLock lock(&mu_);
    if (closed_) return;
    sweep_.WaitWithTimeout(&mu_, kSweepEvery);
    expired = TakeExpired();
  }
}

void Poller::CloseIdle() {
  std::vector<std::unique_ptr<Session>> idle;
  MutexLock lock(&mu_);
  draining_ = true;
  idle = TakeExpired();
}

void Poller::Close() {
  Parked parked;
  {
    MutexLock lock(&mu_);
    closed_ = true;
    parked.swap(parked_);
    sweep_.SignalAll();
  }
  // Never read, so that every thread in Take sees it.
  eventfd_write(closed_fd_, 1);
}

}  // namespace wheelpit
