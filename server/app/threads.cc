#include "server/app/threads.h"

#include <pthread.h>

#include <memory>
#include <utility>

namespace wheelpit {

NamedThread::NamedThread(absl::string_view name, absl::AnyInvocable<void()> body)
    : thread_([name = std::string(name.substr(0, 15)), body = std::move(body)]() mutable {
        pthread_setname_np(pthread_self(), name.c_str());
        body();
      }) {}

NamedThread& NamedThread::operator=(NamedThread&& other) noexcept {
  Join();
  thread_ = std::move(other.thread_);
  return *this;
}

void NamedThread::Join() {
  if (thread_.joinable()) thread_.join();
}

ThreadFactory MakeThreadFactory() {
  return [](absl::string_view name, absl::AnyInvocable<void()> body) -> absl::AnyInvocable<void()> {
    auto thread = std::make_shared<NamedThread>(name, std::move(body));
    return [thread] { thread->Join(); };
  };
}

BackgroundThread::BackgroundThread(absl::string_view name) : thread_(name, [this] { Loop(); }) {}

void BackgroundThread::Post(absl::AnyInvocable<void()> fn) {
  {
    MutexLock lock(&mu_);
    if (stopping_) return;
    queue_.push_back(std::move(fn));
  }
  wake_.Signal();
}

void BackgroundThread::Loop() {
  while (true) {
    absl::AnyInvocable<void()> fn;
    {
      MutexLock lock(&mu_);
      while (queue_.empty() && !stopping_) wake_.Wait(&mu_);
      if (queue_.empty()) return;
      fn = std::move(queue_.front());
      queue_.pop_front();
    }
    fn();
  }
}

void BackgroundThread::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
  }
  wake_.Signal();
  thread_.Join();
}

TimerThread::TimerThread(absl::Duration interval, absl::AnyInvocable<void()> tick)
    : interval_(interval), tick_(std::move(tick)), thread_("timer", [this] { Loop(); }) {}

void TimerThread::Loop() {
  while (true) {
    {
      MutexLock lock(&mu_);
      if (!stopping_) wake_.WaitWithTimeout(&mu_, interval_);
      if (stopping_) return;
    }
    tick_();
  }
}

void TimerThread::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
  }
  wake_.Signal();
  thread_.Join();
}

bool Event::WaitFor(absl::Duration timeout) {
  // One wait per wake-up: the time left is not tracked, as the event is set once.
  MutexLock lock(&mu_);
  if (!set_) changed_.WaitWithTimeout(&mu_, timeout);
  return set_;
}

}  // namespace wheelpit
