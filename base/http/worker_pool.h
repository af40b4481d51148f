// Up to a fixed number of threads that wait for work together; another is started when none is left waiting, and kept.
#pragma once

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
  // `loop` runs on each thread: waits for work, does it between Begin and End, and returns when there shall be no more.
  WorkerPool(std::string name, size_t threads_max, ThreadFactory threads, std::function<void()> loop);
  ~WorkerPool();

  // The first thread.
  void Start();
  // This thread waits no longer.
  void Begin();
  // It waits again.
  void End();
  // Starts no more threads and waits for the loops to return.
  void Join();

 private:
  void StartOne() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string name_;
  const size_t threads_max_;
  const ThreadFactory threads_;
  const std::function<void()> loop_;
  Mutex mu_;
  std::vector<absl::AnyInvocable<void()>> joins_ ABSL_GUARDED_BY(mu_);
  // Those that are still starting too: they wait soon.
  size_t waiting_ ABSL_GUARDED_BY(mu_) = 0;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace wheelpit
