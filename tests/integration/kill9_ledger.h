// What the clients of the kill -9 test were told, and what may follow from it.
//
// Thread-safe. Only acknowledgements are written down as facts; the server's own words are never asked here.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/sync.h"

namespace wheelpit {

class Kill9Ledger {
 public:
  enum Kind { kSubmit, kComplete, kReport, kKinds };
  using Acknowledged = std::array<uint64_t, kKinds>;

  // A submit with this key was acknowledged with this id; also for repeats, which must bring the same id.
  void Submitted(const std::string& key, const std::string& id);
  // A worker was given the task.
  void Assigned(const std::string& id, uint64_t token);
  // A completion was acknowledged by the server of this epoch; repeats too.
  void Completed(const std::string& id, uint64_t token, uint64_t epoch);
  void Reported() { Count(kReport); }
  // Something that must never happen.
  void Violation(std::string what);

  Acknowledged acknowledged() const;
  // Submitted and not completed.
  uint64_t open_tasks() const;
  std::vector<std::string> violations() const;
  // Of every acknowledged submit.
  std::vector<std::string> ids() const;
  // Waits until acknowledged() has changed or a second has passed.
  void WaitForNews() const;
  // Submitters wait here while too much is open; returns at once after Finish().
  void WaitForRoom(uint64_t open_tasks_max) const;
  void Finish();

  // At the end: every task completed once, by one lease; none assigned after its completion was acknowledged; tokens never repeat.
  void Judge();

 private:
  struct Task {
    std::string key;  // empty until its submit was acknowledged (a worker may see it earlier)
    std::vector<uint64_t> tokens;
    uint64_t completed_token = 0;  // 0: not yet
    uint64_t completed_epoch = 0;
  };
  void Count(Kind kind);
  void CountLocked(Kind kind) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  mutable CondVar news_;
  absl::flat_hash_map<std::string, Task> tasks_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, std::string> ids_by_key_ ABSL_GUARDED_BY(mu_);
  Acknowledged acknowledged_ ABSL_GUARDED_BY(mu_) = {};
  std::vector<std::string> violations_ ABSL_GUARDED_BY(mu_);
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace wheelpit
