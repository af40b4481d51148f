// Answers remembered until they are too old; the least recently used ones go first.
//
// Thread-safe. Times are monotonic nanoseconds.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/sync.h"

namespace wheelpit::adapter {

template <typename Value>
class ExpiringCache {
 public:
  explicit ExpiringCache(size_t entries_max) : entries_max_(entries_max) {}

  std::optional<Value> Find(const std::string& key, int64_t now_ns) {
    MutexLock lock(&mu_);
    const auto it = places_.find(key);
    if (it == places_.end()) return std::nullopt;
    if (it->second->expires_ns <= now_ns) {
      entries_.erase(it->second);
      places_.erase(it);
      return std::nullopt;
    }
    entries_.splice(entries_.begin(), entries_, it->second);
    return it->second->value;
  }

  void Insert(const std::string& key, Value value, int64_t expires_ns) {
    MutexLock lock(&mu_);
    if (const auto it = places_.find(key); it != places_.end()) {
      entries_.erase(it->second);
      places_.erase(it);
    }
    entries_.push_front({key, std::move(value), expires_ns});
    places_[key] = entries_.begin();
    if (entries_.size() <= entries_max_) return;
    places_.erase(entries_.back().key);
    entries_.pop_back();
  }

  size_t size() const {
    MutexLock lock(&mu_);
    return entries_.size();
  }

 private:
  struct Entry {
    std::string key;
    Value value;
    int64_t expires_ns;
  };
  using Entries = std::list<Entry>;

  const size_t entries_max_;
  mutable Mutex mu_;
  // Most recently used first.
  Entries entries_ ABSL_GUARDED_BY(mu_);
  std::unordered_map<std::string, typename Entries::iterator> places_ ABSL_GUARDED_BY(mu_);
};

}  // namespace wheelpit::adapter
