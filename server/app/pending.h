// A result that another thread will bring: HTTP handlers may block, and wait for the engine so.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "base/sync.h"

namespace wheelpit {

// Thread-safe. Share it by shared_ptr with whoever sets it.
template <typename T>
class Pending {
 public:
  void Set(T value) {
    MutexLock lock(&mu_);
    if (!value_.has_value()) value_.emplace(std::move(value));
    set_.SignalAll();
  }
  // Takes the value; one taker.
  T Wait() {
    MutexLock lock(&mu_);
    while (!value_.has_value()) set_.Wait(&mu_);
    return *std::move(value_);
  }

 private:
  Mutex mu_;
  CondVar set_;
  std::optional<T> value_ ABSL_GUARDED_BY(mu_);
};

// Sets `pending` to `fallback` if it dies without having been used: a closure that a stopping engine drops still answers.
template <typename T>
class PendingSetter {
 public:
  PendingSetter(std::shared_ptr<Pending<T>> pending, T fallback) : pending_(std::move(pending)), fallback_(std::move(fallback)) {}
  PendingSetter(PendingSetter&& other) noexcept : pending_(std::exchange(other.pending_, nullptr)), fallback_(std::move(other.fallback_)) {}
  PendingSetter& operator=(PendingSetter&&) = delete;
  ~PendingSetter() {
    if (pending_ != nullptr) pending_->Set(std::move(fallback_));
  }
  void Set(T value) {
    if (pending_ != nullptr) std::exchange(pending_, nullptr)->Set(std::move(value));
  }

 private:
  std::shared_ptr<Pending<T>> pending_;
  T fallback_;
};

}  // namespace wheelpit
