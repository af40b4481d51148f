#include "tests/sim/task_history.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace wheelpit::sim {

void TaskHistory::Violation(const std::string& text) { violations_.push_back(text); }

TaskHistory::Fact& TaskHistory::Get(TaskId id) {
  auto [it, fresh] = facts_.try_emplace(id.value);
  if (fresh) {
    it->second.id = id;
    order_.push_back(id.value);
  }
  return it->second;
}

const TaskHistory::Fact* TaskHistory::Find(TaskId id) const {
  auto it = facts_.find(id.value);
  return it == facts_.end() ? nullptr : &it->second;
}

std::vector<TaskId> TaskHistory::Known() const {
  std::vector<TaskId> ids;
  for (uint64_t id : order_) ids.push_back(TaskId{id});
  return ids;
}

void TaskHistory::SubmitOk(const std::string& payload, const std::string& key, int64_t not_before_ms, const SubmitOutcome& outcome) {
  if (outcome.id.value == 0) Violation("I1: a submit was acknowledged without an id");
  Fact& fact = Get(outcome.id);
  if (!key.empty()) {
    auto [it, fresh] = keys_.try_emplace(key, outcome.id);
    if (!fresh && !(it->second == outcome.id)) {
      Violation(absl::StrCat("I3: key ", key, " has tasks ", FormatTaskId(it->second), " and ", FormatTaskId(outcome.id)));
    }
    if (fresh && !fact.payload.empty() && fact.payload != payload) {
      Violation(absl::StrCat("I1: id ", FormatTaskId(outcome.id), " stands for two tasks"));
    }
  } else if (fact.acknowledged) {
    Violation(absl::StrCat("I1: id ", FormatTaskId(outcome.id), " was given twice"));
  }
  if (fact.payload.empty()) fact.payload = payload;
  fact.key = key;
  fact.acknowledged = true;
  fact.not_before_ms = not_before_ms;
}

void TaskHistory::SubmitConflict(const std::string& key) {
  if (keys_.find(key) == keys_.end()) return;  // an unknown submit may have made it
}

uint64_t TaskHistory::TokenNow(TaskId id) const {
  const Fact* fact = Find(id);
  return fact == nullptr ? 0 : fact->fence;
}

void TaskHistory::Assigned(const Assignment& a, int64_t now) {
  const std::string name = FormatTaskId(a.task.id);
  Fact& fact = Get(a.task.id);
  if (fact.completed) Violation(absl::StrCat("I5: ", name, " was assigned after its completion was acknowledged"));
  if (fact.cancelled) Violation(absl::StrCat("I18: ", name, " was assigned after its cancel was acknowledged"));
  if (a.token.value <= fact.token) {
    Violation(absl::StrCat("I4: ", name, " got token ", a.token.value, " after ", fact.token));
  }
  if (fact.not_before_ms > now) Violation(absl::StrCat("I7: ", name, " was assigned ", fact.not_before_ms - now, " ms too early"));
  if (fact.lease_holds_until > now) {
    Violation(absl::StrCat("I11: ", name, " was given away ", fact.lease_holds_until - now, " ms before its lease ended"));
  }
  if (!fact.payload.empty() && a.task.payload != fact.payload) Violation(absl::StrCat("I1: ", name, " came with another payload"));
  if (fact.payload.empty()) fact.payload = a.task.payload;
  // A number may repeat only across a crash that lost a write-behind lease.
  const bool same_life = restart_of_assign_[a.task.id.value] == restarts_ && fact.attempt > 0;
  if (same_life ? a.attempt < fact.attempt + 1 : a.attempt < 1) {
    Violation(absl::StrCat("I8: ", name, " got attempt ", a.attempt, " after ", fact.attempt));
  }
  if (a.attempt > fact.attempt + 1 && same_life && a.attempt > fact.attempt + 50) {
    Violation(absl::StrCat("I8: ", name, " jumped from attempt ", fact.attempt, " to ", a.attempt));
  }
  restart_of_assign_[a.task.id.value] = restarts_;
  fact.token = fact.fence = a.token.value;
  fact.attempt = a.attempt;
  // It counts from the grant: an assignment that waited for its sync (lease_sync) comes with less than its ttl left.
  fact.lease_holds_until = a.deadline_ms;
  if (a.deadline_ms > now + a.lease_ttl_ms) {
    Violation(absl::StrCat("I11: ", name, " was leased for ", a.deadline_ms - now, " ms, more than its ttl"));
  }
}

void TaskHistory::OperationOk(LeaseOp op, TaskId id, uint64_t token, uint64_t token_at_invoke, const Completion* completion) {
  Fact& fact = Get(id);
  const bool repeat = (op == LeaseOp::kComplete && fact.completed && fact.completed_token == token) ||
                      (op == LeaseOp::kFail && fact.failed_token == token);
  if (token < token_at_invoke && !repeat) {
    static constexpr const char* kNames[] = {"complete", "fail", "extend", "release"};
    Violation(absl::StrCat("I6: ", kNames[static_cast<int>(op)], " of ", FormatTaskId(id), " with token ", token, " was accepted though ", token_at_invoke,
                           " had been given"));
  }
  if (op == LeaseOp::kComplete && !repeat) {
    if (fact.completed) Violation(absl::StrCat("I5: ", FormatTaskId(id), " was completed twice, by tokens ", fact.completed_token, " and ", token));
    fact.completed = true;
    fact.completed_token = token;
    if (completion != nullptr) fact.result = completion->result;
  }
  if (op == LeaseOp::kFail) fact.failed_token = token;
  if (op != LeaseOp::kExtend) fact.lease_holds_until = 0;
}

void TaskHistory::LeaseMayEnd(TaskId id) {
  auto it = facts_.find(id.value);
  if (it != facts_.end()) it->second.lease_holds_until = 0;
}

void TaskHistory::CancelOk(TaskId id, TaskState state) {
  if (state == TaskState::kCancelled) Get(id).cancelled = true;
  LeaseMayEnd(id);
}

void TaskHistory::ServerRestarted() {
  ++restarts_;
  // A lease whose write-behind record was lost may be given at once; the token decides who holds it.
  // Then the lease before it is the current one again, as far as the journal knows.
  for (auto& [id, fact] : facts_) fact.lease_holds_until = 0, fact.fence = 0;
}

void TaskHistory::CheckRead(TaskId id, const absl::StatusOr<TaskView>& view) {
  const Fact& fact = Get(id);
  const std::string name = FormatTaskId(id);
  if (!view.ok()) {
    Violation(absl::StrCat("I1: ", name, fact.acknowledged ? " was acknowledged" : " was assigned", " and is gone: ", view.status().message()));
    return;
  }
  if (fact.completed && view->state != TaskState::kSucceeded) {
    Violation(absl::StrCat("I5: ", name, " was completed and reads ", TaskStateName(view->state)));
  }
  if (fact.completed && view->state == TaskState::kSucceeded && view->result != fact.result) {
    Violation(absl::StrCat("I5: ", name, " reads another result than was acknowledged"));
  }
  if (fact.cancelled && view->state != TaskState::kCancelled) {
    Violation(absl::StrCat("I18: ", name, " was cancelled and reads ", TaskStateName(view->state)));
  }
  if (!fact.payload.empty() && !IsTerminal(view->state) && view->payload != fact.payload) {
    Violation(absl::StrCat("I1: ", name, " reads another payload"));
  }
  if (view->failures > view->max_attempts) Violation(absl::StrCat("I9: ", name, " failed ", view->failures, " times of ", view->max_attempts));
  if (view->losses > view->max_losses) Violation(absl::StrCat("I9: ", name, " was lost ", view->losses, " times of ", view->max_losses));
  if (view->state == TaskState::kDead && view->dead_reason == "max_attempts" && view->failures != view->max_attempts) {
    Violation(absl::StrCat("I9: ", name, " is dead after ", view->failures, " of ", view->max_attempts, " failures"));
  }
  if (view->state == TaskState::kDead && view->dead_reason == "lease_losses" && view->losses != view->max_losses) {
    Violation(absl::StrCat("I9: ", name, " is dead after ", view->losses, " of ", view->max_losses, " losses"));
  }
}

void TaskHistory::CheckRetryTime(const TaskView& view, int64_t failed_at_ms, const BackoffPolicy& policy) {
  if (view.state != TaskState::kRetryWait) return;
  double d = static_cast<double>(policy.initial_ms);
  for (uint32_t k = 1; k < view.failures; ++k) d = std::min(d * policy.multiplier, static_cast<double>(policy.max_delay_ms));
  const auto delay = static_cast<double>(view.due_ms - failed_at_ms);
  if (delay < d / 2 - 1 || delay > d + 1) {
    Violation(absl::StrCat("I12: ", FormatTaskId(view.id), " waits ", delay, " ms after failure ", view.failures, ", the curve says ", d / 2, "..", d));
  }
}

}  // namespace wheelpit::sim
