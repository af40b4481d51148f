#include "tests/integration/kill9_ledger.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace wheelpit {
namespace {

constexpr size_t kViolationsMax = 20;

uint64_t EpochOf(uint64_t token) { return token >> 40; }

}  // namespace

void Kill9Ledger::CountLocked(Kind kind) {
  ++acknowledged_[kind];
  news_.SignalAll();
}

void Kill9Ledger::Count(Kind kind) {
  MutexLock lock(&mu_);
  CountLocked(kind);
}

void Kill9Ledger::Violation(std::string what) {
  MutexLock lock(&mu_);
  if (violations_.size() < kViolationsMax) violations_.push_back(std::move(what));
  news_.SignalAll();
}

void Kill9Ledger::Submitted(const std::string& key, const std::string& id) {
  std::string problem;
  {
    MutexLock lock(&mu_);
    const auto [known, fresh] = ids_by_key_.emplace(key, id);
    Task& task = tasks_[id];
    if (known->second != id) {
      problem = absl::StrCat("key ", key, " made task ", known->second, " and task ", id);
    } else if (!task.key.empty() && task.key != key) {
      problem = absl::StrCat("id ", id, " was given to key ", task.key, " and to key ", key);
    }
    task.key = key;
    if (fresh) CountLocked(kSubmit);
  }
  if (!problem.empty()) Violation(std::move(problem));
}

void Kill9Ledger::Assigned(const std::string& id, uint64_t token) {
  MutexLock lock(&mu_);
  tasks_[id].tokens.push_back(token);
}

void Kill9Ledger::Completed(const std::string& id, uint64_t token, uint64_t epoch) {
  std::string problem;
  {
    MutexLock lock(&mu_);
    Task& task = tasks_[id];
    if (task.completed_token == 0) {
      task.completed_token = token;
      task.completed_epoch = epoch;
      CountLocked(kComplete);
    } else if (task.completed_token != token) {
      problem = absl::StrCat("task ", id, " was completed under token ", task.completed_token, " and under token ", token);
    }
  }
  if (!problem.empty()) Violation(std::move(problem));
}

Kill9Ledger::Acknowledged Kill9Ledger::acknowledged() const {
  MutexLock lock(&mu_);
  return acknowledged_;
}

uint64_t Kill9Ledger::open_tasks() const {
  MutexLock lock(&mu_);
  return acknowledged_[kSubmit] - std::min(acknowledged_[kSubmit], acknowledged_[kComplete]);
}

std::vector<std::string> Kill9Ledger::violations() const {
  MutexLock lock(&mu_);
  return violations_;
}

std::vector<std::string> Kill9Ledger::ids() const {
  MutexLock lock(&mu_);
  std::vector<std::string> ids;
  for (const auto& [key, id] : ids_by_key_) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

void Kill9Ledger::WaitForNews() const {
  MutexLock lock(&mu_);
  news_.WaitWithTimeout(&mu_, absl::Seconds(1));
}

void Kill9Ledger::WaitForRoom(uint64_t open_tasks_max) const {
  MutexLock lock(&mu_);
  while (!finished_ && acknowledged_[kSubmit] > acknowledged_[kComplete] + open_tasks_max) news_.Wait(&mu_);
}

void Kill9Ledger::Finish() {
  MutexLock lock(&mu_);
  finished_ = true;
  news_.SignalAll();
}

void Kill9Ledger::Judge() {
  std::vector<std::string> problems;
  {
    MutexLock lock(&mu_);
    for (auto& [id, task] : tasks_) {
      if (task.key.empty()) {
        problems.push_back(absl::StrCat("task ", id, " was assigned, and no submit was acknowledged with this id"));
      }
      if (task.completed_token == 0) problems.push_back(absl::StrCat("task ", id, " was never completed"));
      for (const uint64_t token : task.tokens) {
        // Leases that an earlier boot gave and forgot do not count: their word was never asked for.
        if (token > task.completed_token && EpochOf(token) >= task.completed_epoch) {
          problems.push_back(absl::StrCat("task ", id, " was assigned under token ", token, " although its completion under ",
                                          task.completed_token, " was acknowledged by boot ", task.completed_epoch));
        }
      }
      std::sort(task.tokens.begin(), task.tokens.end());
      if (std::adjacent_find(task.tokens.begin(), task.tokens.end()) != task.tokens.end()) {
        problems.push_back(absl::StrCat("task ", id, " was assigned twice under one token"));
      }
      if (task.completed_token != 0 && !std::binary_search(task.tokens.begin(), task.tokens.end(), task.completed_token)) {
        problems.push_back(absl::StrCat("task ", id, " was completed under a token that no worker was given"));
      }
    }
  }
  for (std::string& problem : problems) Violation(std::move(problem));
}

}  // namespace wheelpit
