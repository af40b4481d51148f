#include "base/http/worker_pool.h"

#include <utility>

namespace wheelpit {

WorkerPool::WorkerPool(std::string name, size_t threads_max, ThreadFactory threads, std::function<void()> loop)
    : name_(std::move(name)), threads_max_(threads_max), threads_(std::move(threads)), loop_(std::move(loop)) {}

WorkerPool::~WorkerPool() { Join(); }

void WorkerPool::Start() {
  MutexLock lock(&mu_);
  StartOne();
}

void WorkerPool::StartOne() {
  ++waiting_;
  joins_.push_back(threads_(name_, [this] { loop_(); }));
}

void WorkerPool::Begin() {
  MutexLock lock(&mu_);
  --waiting_;
  if (waiting_ == 0 && joins_.size() < threads_max_ && !ending_) StartOne();
}

void WorkerPool::End() {
  MutexLock lock(&mu_);
  ++waiting_;
}

void WorkerPool::Join() {
  std::vector<absl::AnyInvocable<void()>> joins;
  {
    MutexLock lock(&mu_);
    ending_ = true;
    joins.swap(joins_);
  }
  for (auto& join : joins) join();
}

}  // namespace wheelpit
