#include "server/queue/policy_table.h"

#include "base/check.h"

namespace wheelpit {

uint16_t PolicyTable::Ref(const TaskPolicy& policy) {
  const auto it = numbers_.find(policy);
  if (it != numbers_.end()) {
    ++entries_[it->second].users;
    return it->second;
  }
  WHEELPIT_CHECK(numbers_.size() < kMax, "%d policies", numbers_.size());
  uint16_t number = 0;
  if (free_.empty()) {
    number = static_cast<uint16_t>(entries_.size());
    entries_.emplace_back();
  } else {
    number = free_.back();
    free_.pop_back();
  }
  entries_[number] = {policy, 1};
  numbers_.emplace(policy, number);
  return number;
}

void PolicyTable::Unref(uint16_t number) {
  Entry& entry = entries_[number];
  WHEELPIT_CHECK(entry.users > 0, "policy %d", number);
  if (--entry.users > 0) return;
  numbers_.erase(entry.policy);
  free_.push_back(number);
}

}  // namespace wheelpit
