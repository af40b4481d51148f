// The threads of the server; nothing else in it makes any. docs/architecture.md has the table of who may block on what.
#pragma once

#include <deque>
#include <string>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "base/executor.h"
#include "base/http/worker_pool.h"
#include "base/sync.h"

namespace wheelpit {

// A thread with a name that debuggers show (15 bytes at most). Joins in its destructor.
class NamedThread {
 public:
  NamedThread() = default;
  NamedThread(absl::string_view name, absl::AnyInvocable<void()> body);
  ~NamedThread() { Join(); }
  NamedThread(NamedThread&&) = default;
  NamedThread& operator=(NamedThread&& other) noexcept;
  void Join();

 private:
  std::thread thread_;
};

// For rooms that are given threads instead of making them.
ThreadFactory MakeThreadFactory();

// Runs closures one after the other on its own thread: file I/O that nobody waits for on the engine thread.
class BackgroundThread : public Executor {
 public:
  explicit BackgroundThread(absl::string_view name);
  ~BackgroundThread() override { Stop(); }
  void Post(absl::AnyInvocable<void()> fn) override;
  // Runs what waits, then ends. Later posts are destroyed unrun.
  void Stop();

 private:
  void Loop();

  Mutex mu_;
  CondVar wake_;
  std::deque<absl::AnyInvocable<void()>> queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  NamedThread thread_;
};

// Calls `tick` about every `interval`.
class TimerThread {
 public:
  TimerThread(absl::Duration interval, absl::AnyInvocable<void()> tick);
  ~TimerThread() { Stop(); }
  void Stop();

 private:
  void Loop();

  const absl::Duration interval_;
  absl::AnyInvocable<void()> tick_;
  Mutex mu_;
  CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  NamedThread thread_;
};

// A gate that threads wait at until somebody opens it.
class Event {
 public:
  void Set() {
    MutexLock lock(&mu_);
    set_ = true;
    changed_.SignalAll();
  }
  void Wait() {
    MutexLock lock(&mu_);
    while (!set_) changed_.Wait(&mu_);
  }
  // False if the time ran out.
  bool WaitFor(absl::Duration timeout);

 private:
  Mutex mu_;
  CondVar changed_;
  bool set_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace wheelpit
