// Up to a fixed number of threads that run closures; a thread is started when none is free, and kept.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "base/sync.h"

namespace wheelpit {

// Starts a thread that runs `body`; the returned closure joins it. Given by app/, which alone makes threads.
using ThreadFactory = std::function<absl::AnyInvocable<void()>(absl::string_view name, absl::AnyInvocable<void()> body)>;

// Thread-safe.
class WorkerPool {
 public:
  WorkerPool(std::string name, size_t threads_max, ThreadFactory threads);
  ~WorkerPool();

  void Run(absl::AnyInvocable<void()> task);
  // Runs what waits, then ends and joins the threads. Call once; nothing may be added after it.
  void Shutdown();

 private:
  void Loop();

  const std::string name_;
  const size_t threads_max_;
  const ThreadFactory threads_;
  Mutex mu_;
  CondVar ready_;
  std::deque<absl::AnyInvocable<void()>> tasks_ ABSL_GUARDED_BY(mu_);
  std::vector<absl::AnyInvocable<void()>> joins_ ABSL_GUARDED_BY(mu_);
  size_t idle_ ABSL_GUARDED_BY(mu_) = 0;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace wheelpit
