// What clients know of tasks, and whether what they are told can be true: the checker of the queue's promises.
//
// Every call is one observation of a client, in the order of the simulation. A contradiction becomes a violation that names the
// invariant: I1 kept, I2/I3 one task per key, I4 tokens rise, I5 done is done, I6 fencing, I7 never too early, I8 attempts count up,
// I9 budgets, I11 leases last, I12 retry times, I16 credits, I17 accounting.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "server/queue/work_queue.h"

namespace wheelpit::sim {

enum class LeaseOp { kComplete, kFail, kExtend, kRelease };

class TaskHistory {
 public:
  struct Fact {
    TaskId id;
    std::string payload;
    std::string key;
    bool acknowledged = false;
    int64_t not_before_ms = 0;
    uint64_t token = 0;            // largest ever assigned
    uint64_t fence = 0;            // largest assigned in this process life
    uint32_t attempt = 0;          // of that assignment
    int64_t lease_holds_until = 0; // no other assignment before; 0 = no promise
    bool completed = false;        // a Complete was acknowledged
    uint64_t completed_token = 0;
    std::string result;
    bool cancelled = false;        // a Cancel of an unleased task was acknowledged
    uint64_t failed_token = 0;     // of the last acknowledged Fail
    bool not_retryable = false;
  };

  // --- submits ---
  void SubmitOk(const std::string& payload, const std::string& key, int64_t not_before_ms, const SubmitOutcome& outcome);
  void SubmitConflict(const std::string& key);

  // --- leases ---
  void Assigned(const Assignment& a, int64_t now);
  // What the client knew when it sent the operation; pass it back with the answer.
  uint64_t TokenNow(TaskId id) const;
  void OperationOk(LeaseOp op, TaskId id, uint64_t token, uint64_t token_at_invoke, const Completion* completion);
  // The lease's promise not to be given away early ends: fail or release were sent, the session went, or the server restarted.
  void LeaseMayEnd(TaskId id);
  // Whether no Fail with this token was sent before.
  bool FirstFail(uint64_t token) { return fails_sent_.insert(token).second; }
  void CancelOk(TaskId id, TaskState state);
  void ServerRestarted();

  // --- reads ---
  // Every acknowledged or assigned task must be there with a state that agrees with what was promised.
  void CheckRead(TaskId id, const absl::StatusOr<TaskView>& view);
  void CheckRetryTime(const TaskView& view, int64_t failed_at_ms, const BackoffPolicy& policy);

  std::vector<TaskId> Known() const;
  const Fact* Find(TaskId id) const;
  void Violation(const std::string& text);
  const std::vector<std::string>& violations() const { return violations_; }

 private:
  Fact& Get(TaskId id);

  absl::flat_hash_map<uint64_t, Fact> facts_;
  std::vector<uint64_t> order_;
  std::map<std::string, TaskId> keys_;
  absl::flat_hash_set<uint64_t> fails_sent_;
  uint64_t restarts_ = 0;
  absl::flat_hash_map<uint64_t, uint64_t> restart_of_assign_;
  std::vector<std::string> violations_;
};

}  // namespace wheelpit::sim
