// Locks that both thread-safety analysis and ThreadSanitizer understand.
//
// The packaged absl is not instrumented, so TSan would report races in correct code that uses plain absl::Mutex: these wrappers
// tell it of each acquire and release.
#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

#if defined(__SANITIZE_THREAD__)
#define WHEELPIT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WHEELPIT_TSAN 1
#endif
#endif

#ifdef WHEELPIT_TSAN
extern "C" void __tsan_acquire(void* addr);
extern "C" void __tsan_release(void* addr);
#define WHEELPIT_TSAN_ACQUIRE(p) __tsan_acquire(const_cast<void*>(static_cast<const void*>(p)))
#define WHEELPIT_TSAN_RELEASE(p) __tsan_release(const_cast<void*>(static_cast<const void*>(p)))
#else
#define WHEELPIT_TSAN_ACQUIRE(p) (void)(p)
#define WHEELPIT_TSAN_RELEASE(p) (void)(p)
#endif

namespace wheelpit {

class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    mu_.Lock();
    WHEELPIT_TSAN_ACQUIRE(this);
  }
  void Unlock() ABSL_UNLOCK_FUNCTION() {
    WHEELPIT_TSAN_RELEASE(this);
    mu_.Unlock();
  }
  void ReaderLock() ABSL_SHARED_LOCK_FUNCTION() {
    mu_.ReaderLock();
    WHEELPIT_TSAN_ACQUIRE(this);
  }
  void ReaderUnlock() ABSL_UNLOCK_FUNCTION() {
    WHEELPIT_TSAN_RELEASE(this);
    mu_.ReaderUnlock();
  }

 private:
  friend class CondVar;
  absl::Mutex mu_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mu) ABSL_EXCLUSIVE_LOCK_FUNCTION(mu) : mu_(mu) { mu_->Lock(); }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mu_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mu_;
};

class ABSL_SCOPED_LOCKABLE ReaderMutexLock {
 public:
  explicit ReaderMutexLock(Mutex* mu) ABSL_SHARED_LOCK_FUNCTION(mu) : mu_(mu) { mu_->ReaderLock(); }
  ~ReaderMutexLock() ABSL_UNLOCK_FUNCTION() { mu_->ReaderUnlock(); }
  ReaderMutexLock(const ReaderMutexLock&) = delete;
  ReaderMutexLock& operator=(const ReaderMutexLock&) = delete;

 private:
  Mutex* const mu_;
};

class CondVar {
 public:
  void Wait(Mutex* mu) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    WHEELPIT_TSAN_RELEASE(mu);
    cv_.Wait(&mu->mu_);
    WHEELPIT_TSAN_ACQUIRE(mu);
  }
  // True if the time ran out.
  bool WaitWithTimeout(Mutex* mu, absl::Duration timeout) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    WHEELPIT_TSAN_RELEASE(mu);
    const bool timed_out = cv_.WaitWithTimeout(&mu->mu_, timeout);
    WHEELPIT_TSAN_ACQUIRE(mu);
    return timed_out;
  }
  void Signal() { cv_.Signal(); }
  void SignalAll() { cv_.SignalAll(); }

 private:
  absl::CondVar cv_;
};

}  // namespace wheelpit
