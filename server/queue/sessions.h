// Who holds leases: worker streams, unary workers by name, and holders known only from the journal after a restart.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "server/queue/task_table.h"

namespace wheelpit {

class WorkerChannel;

struct Session {
  uint64_t id = 0;  // 0 = a unary worker, known by its name
  std::string worker;
  WorkerChannel* channel = nullptr;  // null: unary, or the stream is broken
  uint32_t consumer = kNoIndex;      // of a stream, in the dispatcher
  absl::flat_hash_set<uint32_t> leases;
  uint64_t leased_bytes = 0;
  int64_t grace_end_ms = 0;     // stream broken: its leases are lost then; 0 = no
  int64_t extended_at_ms = 0;   // last time all leases were extended
  int64_t ttl_min_ms = 0;       // shortest lease TTL seen, sets how often that is needed
};

class SessionTable {
 public:
  Session& operator[](uint32_t index) { return *sessions_[index]; }
  const Session& operator[](uint32_t index) const { return *sessions_[index]; }
  bool Has(uint32_t index) const { return index < sessions_.size() && sessions_[index] != nullptr; }
  // kNoIndex if there is none.
  uint32_t FindById(uint64_t id) const;
  // By id, or by name if `id` is 0.
  uint32_t FindOrAdd(uint64_t id, const std::string& worker);
  // Forgets it if it holds nothing and no stream can come back to it.
  void DropIfIdle(uint32_t index);
  uint32_t capacity() const { return static_cast<uint32_t>(sessions_.size()); }

 private:
  std::vector<std::unique_ptr<Session>> sessions_;
  std::vector<uint32_t> free_;
  absl::flat_hash_map<uint64_t, uint32_t> by_id_;
  absl::flat_hash_map<std::string, uint32_t> by_worker_;
};

}  // namespace wheelpit
