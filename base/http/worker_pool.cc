#include "base/http/worker_pool.h"

#include <utility>

#include "base/check.h"

namespace wheelpit {

WorkerPool::WorkerPool(std::string name, size_t threads_max, ThreadFactory threads)
    : name_(std::move(name)), threads_max_(threads_max), threads_(std::move(threads)) {}

WorkerPool::~WorkerPool() { Shutdown(); }

void WorkerPool::Run(absl::AnyInvocable<void()> task) {
  MutexLock lock(&mu_);
  WHEELPIT_CHECK(!ending_);
  tasks_.push_back(std::move(task));
  // Each idle thread takes one of the waiting tasks; beyond that a new thread is worth it.
  if (tasks_.size() > idle_ && joins_.size() < threads_max_) {
    joins_.push_back(threads_(name_, [this] { Loop(); }));
  }
  ready_.Signal();
}

void WorkerPool::Shutdown() {
  std::vector<absl::AnyInvocable<void()>> joins;
  {
    MutexLock lock(&mu_);
    ending_ = true;
    joins.swap(joins_);
  }
  ready_.SignalAll();
  for (auto& join : joins) join();
}

void WorkerPool::Loop() {
  while (true) {
    absl::AnyInvocable<void()> task;
    {
      MutexLock lock(&mu_);
      ++idle_;
      while (tasks_.empty() && !ending_) ready_.Wait(&mu_);
      --idle_;
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace wheelpit
