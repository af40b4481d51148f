// The live streams of the services: who gets the timer's tick and the word to go away.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/sync.h"

namespace wheelpit {

class LiveStream {
 public:
  virtual ~LiveStream() = default;
  // About every second, from the timer thread.
  virtual void Tick(int64_t now_ms) = 0;
  // The server drains: ask the peer to come back later; what it holds goes on.
  virtual void GoAway() = 0;
};

// Thread-safe. Calls streams without its lock.
class StreamHub {
 public:
  void Add(const std::shared_ptr<LiveStream>& stream) {
    MutexLock lock(&mu_);
    streams_[stream.get()] = stream;
  }
  void Remove(LiveStream* stream) {
    MutexLock lock(&mu_);
    streams_.erase(stream);
  }
  void Tick(int64_t now_ms) {
    for (const auto& stream : Live()) stream->Tick(now_ms);
  }
  void GoAway() {
    for (const auto& stream : Live()) stream->GoAway();
  }
  size_t size() const {
    MutexLock lock(&mu_);
    return streams_.size();
  }

 private:
  std::vector<std::shared_ptr<LiveStream>> Live() const {
    std::vector<std::shared_ptr<LiveStream>> live;
    MutexLock lock(&mu_);
    live.reserve(streams_.size());
    for (const auto& [raw, weak] : streams_) {
      if (auto stream = weak.lock()) live.push_back(std::move(stream));
    }
    return live;
  }

  mutable Mutex mu_;
  absl::flat_hash_map<LiveStream*, std::weak_ptr<LiveStream>> streams_ ABSL_GUARDED_BY(mu_);
};

}  // namespace wheelpit
