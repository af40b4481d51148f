#include "base/http/poller.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "base/check.h"

namespace wheelpit {
namespace {
constexpr int64_t kSweepNs = 500'000'000;
constexpr int kEventsMax = 256;
}  // namespace

Poller::Poller(const Clock* clock, std::function<void(std::unique_ptr<Session>)> ready)
    : clock_(clock),
      ready_(std::move(ready)),
      epoll_fd_(epoll_create1(EPOLL_CLOEXEC)),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  WHEELPIT_CHECK(epoll_fd_ >= 0 && wake_fd_ >= 0, "errno %d", errno);
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.fd = wake_fd_;
  WHEELPIT_CHECK(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event) == 0, "errno %d", errno);
}

Poller::~Poller() {
  close(epoll_fd_);
  close(wake_fd_);
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

std::vector<std::unique_ptr<Session>> Poller::TakeExpired() {
  const int64_t now = clock_->MonotonicNanos();
  std::vector<std::unique_ptr<Session>> expired;
  MutexLock lock(&mu_);
  for (auto it = parked_.begin(); it != parked_.end();) {
    auto here = it++;
    if (here->second->deadline_ns > now && !(draining_ && IsIdle(*here->second))) continue;
    expired.push_back(std::move(here->second));
    parked_.erase(here);
  }
  return expired;
}

void Poller::Loop() {
  epoll_event events[kEventsMax];
  int64_t next_sweep = clock_->MonotonicNanos() + kSweepNs;
  while (true) {
    const int count = epoll_wait(epoll_fd_, events, kEventsMax, static_cast<int>(kSweepNs / 1'000'000));
    for (int i = 0; i < count; ++i) {
      if (events[i].data.fd == wake_fd_) {
        eventfd_t ignored;
        eventfd_read(wake_fd_, &ignored);
        next_sweep = 0;
        continue;
      }
      std::unique_ptr<Session> session;
      {
        MutexLock lock(&mu_);
        auto found = parked_.find(events[i].data.fd);
        if (found == parked_.end()) continue;
        session = std::move(found->second);
        parked_.erase(found);
      }
      ready_(std::move(session));
    }
    {
      MutexLock lock(&mu_);
      if (closed_) return;
    }
    const int64_t now = clock_->MonotonicNanos();
    if (now >= next_sweep) {
      TakeExpired();  // closes them outside the lock
      next_sweep = now + kSweepNs;
    }
  }
}

void Poller::Wake() { eventfd_write(wake_fd_, 1); }

void Poller::CloseIdle() {
  {
    MutexLock lock(&mu_);
    draining_ = true;
  }
  Wake();
}

void Poller::Close() {
  absl::flat_hash_map<int, std::unique_ptr<Session>> parked;
  {
    MutexLock lock(&mu_);
    closed_ = true;
    parked.swap(parked_);
  }
  Wake();
}

}  // namespace wheelpit
