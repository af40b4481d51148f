#include "server/queue/sessions.h"

namespace wheelpit {

uint32_t SessionTable::FindById(uint64_t id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? kNoIndex : it->second;
}

uint32_t SessionTable::FindOrAdd(uint64_t id, const std::string& worker) {
  if (id != 0) {
    if (const uint32_t index = FindById(id); index != kNoIndex) return index;
  } else if (const auto it = by_worker_.find(worker); it != by_worker_.end()) {
    return it->second;
  }
  uint32_t index = static_cast<uint32_t>(sessions_.size());
  if (free_.empty()) {
    sessions_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  sessions_[index] = std::make_unique<Session>();
  sessions_[index]->id = id;
  sessions_[index]->worker = worker;
  if (id != 0) {
    by_id_.emplace(id, index);
  } else {
    by_worker_.emplace(worker, index);
  }
  return index;
}

void SessionTable::DropIfIdle(uint32_t index) {
  if (!Has(index)) return;
  const Session& session = *sessions_[index];
  if (!session.leases.empty() || session.channel != nullptr || session.grace_end_ms != 0) return;
  if (session.id != 0) {
    by_id_.erase(session.id);
  } else {
    by_worker_.erase(session.worker);
  }
  sessions_[index].reset();
  free_.push_back(index);
}

}  // namespace wheelpit
