// One call for all who want the same answer at the same time: who comes while it is under way gets
// what it brings, an error too.
//
// Thread-safe. As Kubernetes' cached token authenticator does it (singleflight): when an answer that
// many clients need is forgotten, the API server is asked once.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/sync.h"

namespace wheelpit::adapter {

template <typename Value>
class SharedCalls {
 public:
  // Blocks as long as the call does, whoever makes it.
  absl::StatusOr<Value> Run(const std::string& key,
                            absl::FunctionRef<absl::StatusOr<Value>()> call) {
    std::shared_ptr<UnderWay> mine;
    {
      MutexLock lock(&mu_);
      std::shared_ptr<UnderWay>& place = calls_[key];
      if (const std::shared_ptr<UnderWay> other = place; other != nullptr) {
        ++waiting_;
        while (!other->answer.has_value()) other->ended.Wait(&mu_);
        --waiting_;
        return *other->answer;
      }
      place = mine = std::make_shared<UnderWay>();
    }
    absl::StatusOr<Value> answer = call();
    MutexLock lock(&mu_);
    mine->answer = answer;
    mine->ended.SignalAll();
    calls_.erase(key);
    return answer;
  }

  // How many wait for the call of another.
  size_t waiting() const {
    MutexLock lock(&mu_);
    return waiting_;
  }

 private:
  struct UnderWay {
    CondVar ended;
    std::optional<absl::StatusOr<Value>> answer;  // guarded by mu_
  };

  mutable Mutex mu_;
  size_t waiting_ ABSL_GUARDED_BY(mu_) = 0;
  std::unordered_map<std::string, std::shared_ptr<UnderWay>> calls_ ABSL_GUARDED_BY(mu_);
};

}  // namespace wheelpit::adapter
