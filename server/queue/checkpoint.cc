// Checkpoint chunks and the debug dump. Layout of a chunk (little-endian), after kind u8 and version u8:
//   header  next_counter u64, time_ms i64, epoch u64, has_key u8, hash key 16 B, queues u32, each: QueueConfigMeta text, totals u64[14]
//   slab    slab u32, policies u32 (number u16, timeout i64, attempts u32, losses u32, initial i64, multiplier f64, max i64),
//           sessions u32 (number u32, id u64, worker text), slots u32 (see PutSlot)
//   keys    entries u32 (hash u64 u64, request hash u64, task u64, expiry s u32, state u8)
// text = length u32, bytes. Order: header, slabs, keys: a key's entry is never older than its task.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/errors.h"
#include "server/queue/bytes.h"
#include "server/queue/work_queue_impl.h"

namespace wheelpit {
namespace {

constexpr uint8_t kVersion = 1;
constexpr uint8_t kHeader = 1, kSlab = 2, kKeys = 3;
constexpr uint32_t kKeysPerChunk = 8192;

absl::Status Damaged(absl::string_view what) {
  return MakeError(absl::StatusCode::kDataLoss, "CORRUPT", absl::StrCat("checkpoint of the queue: ", what));
}

void PutSlot(const TaskSlot& slot, ByteWriter& out) {
  out.Put(slot.id);
  out.Put(slot.token);
  out.Put(slot.due_ms);
  out.Put(slot.submitted_ms);
  out.Put(slot.expire_ms);
  out.Put(slot.pos);
  out.Put(slot.rec);
  out.Put(slot.len);
  out.Put(slot.queue);
  out.Put(slot.worker);
  out.Put(slot.attempt_start_s);
  out.Put(slot.attempt_start_ms);
  out.Put(slot.attempts);
  out.Put(slot.failures);
  out.Put(slot.losses);
  out.Put(slot.releases);
  out.Put(static_cast<uint8_t>(slot.state));
  out.Put(static_cast<uint8_t>(slot.prio));
  out.Put(static_cast<uint8_t>(slot.flags & kDurableFlags));
  out.Put(slot.redrives);
  out.Put(slot.policy);
  out.Put(slot.lease_ttl_s);
}

TaskSlot GetSlot(ByteReader& in) {
  TaskSlot slot;
  slot.id = in.Get<uint64_t>();
  slot.token = in.Get<uint64_t>();
  slot.due_ms = in.Get<int64_t>();
  slot.submitted_ms = in.Get<int64_t>();
  slot.expire_ms = in.Get<int64_t>();
  slot.pos = in.Get<uint64_t>();
  slot.rec = in.Get<uint64_t>();
  slot.len = in.Get<uint32_t>();
  slot.queue = in.Get<uint32_t>();
  slot.worker = in.Get<uint32_t>();
  slot.attempt_start_s = in.Get<uint32_t>();
  slot.attempt_start_ms = in.Get<uint16_t>();
  slot.attempts = in.Get<uint16_t>();
  slot.failures = in.Get<uint16_t>();
  slot.losses = in.Get<uint8_t>();
  slot.releases = in.Get<uint8_t>();
  slot.state = static_cast<TaskState>(in.Get<uint8_t>());
  slot.prio = static_cast<int8_t>(in.Get<uint8_t>());
  slot.flags = in.Get<uint8_t>();
  slot.redrives = in.Get<uint8_t>();
  slot.policy = in.Get<uint16_t>();
  slot.lease_ttl_s = in.Get<uint16_t>();
  return slot;
}

}  // namespace

std::string WorkQueueImpl::HeaderChunk() const {
  std::string bytes;
  ByteWriter out(&bytes);
  out.Put(kHeader);
  out.Put(kVersion);
  out.Put(fold_.next_counter);
  out.Put(std::max(fold_.time_ms, now_ms_));
  out.Put(fold_.epoch);
  out.Put(static_cast<uint8_t>(fold_.has_hash_key));
  for (const uint8_t byte : fold_.hash_key) out.Put(byte);
  out.Put(static_cast<uint32_t>(fold_.queue_numbers.size()));
  for (const auto& entry : fold_.queues) {
    if (entry == nullptr) continue;
    std::string meta;
    codec_.Encode(QueueRecord{entry->created_at_ms, entry->number, entry->name, entry->config, entry->flags, false,
                              entry->created_at_ms},
                  &meta);
    out.PutText(meta);
    for (const uint64_t total : entry->totals) out.Put(total);
  }
  return bytes;
}

absl::Status WorkQueueImpl::LoadHeader(Lsn as_of, ByteReader& in) {
  header_as_of_ = as_of;
  fold_.next_counter = in.Get<uint64_t>();
  fold_.time_ms = in.Get<int64_t>();
  fold_.epoch = in.Get<uint64_t>();
  fold_.has_hash_key = in.Get<uint8_t>() != 0;
  for (uint8_t& byte : fold_.hash_key) byte = in.Get<uint8_t>();
  const uint32_t queues = in.Get<uint32_t>();
  for (uint32_t i = 0; i < queues && in.ok(); ++i) {
    QueueRecord record;
    if (absl::Status s = codec_.Decode(in.GetText(), &record); !s.ok()) return s;
    QueueEntry& entry = fold_.ApplyQueue(record);
    for (uint64_t& total : entry.totals) total = in.Get<uint64_t>();
  }
  return absl::OkStatus();
}

std::string WorkQueueImpl::SlabChunk(uint32_t slab) const {
  std::vector<uint16_t> policies;
  std::vector<uint32_t> sessions;
  std::string slots;
  ByteWriter slots_out(&slots);
  uint32_t count = 0;
  for (uint32_t i = 0; i < TaskTable::kSlabSlots; ++i) {
    const TaskSlot& slot = fold_.tasks[slab * TaskTable::kSlabSlots + i];
    if (slot.id == 0) continue;
    ++count;
    policies.push_back(slot.policy);
    if (slot.worker != kNoIndex) sessions.push_back(slot.worker);
    slots_out.Put(static_cast<uint16_t>(i));
    PutSlot(slot, slots_out);
  }
  std::sort(policies.begin(), policies.end());
  policies.erase(std::unique(policies.begin(), policies.end()), policies.end());
  std::sort(sessions.begin(), sessions.end());
  sessions.erase(std::unique(sessions.begin(), sessions.end()), sessions.end());

  std::string bytes;
  ByteWriter out(&bytes);
  out.Put(kSlab);
  out.Put(kVersion);
  out.Put(slab);
  out.Put(static_cast<uint32_t>(policies.size()));
  for (const uint16_t number : policies) {
    const TaskPolicy& policy = fold_.policies[number];
    out.Put(number);
    out.Put(policy.attempt_timeout_ms);
    out.Put(policy.max_attempts);
    out.Put(policy.max_losses);
    out.Put(policy.backoff.initial_ms);
    out.PutDouble(policy.backoff.multiplier);
    out.Put(policy.backoff.max_delay_ms);
  }
  out.Put(static_cast<uint32_t>(sessions.size()));
  for (const uint32_t number : sessions) {
    out.Put(number);
    out.Put(fold_.sessions[number].id);
    out.PutText(fold_.sessions[number].worker);
  }
  out.Put(count);
  bytes.append(slots);
  return bytes;
}

absl::Status WorkQueueImpl::LoadSlab(Lsn as_of, ByteReader& in) {
  const uint32_t slab = in.Get<uint32_t>();
  if (slab >= (1u << 19)) return Damaged("a slab's number is out of range");
  if (slab_as_of_.size() <= slab) slab_as_of_.resize(slab + 1);
  slab_as_of_[slab] = as_of;
  absl::flat_hash_map<uint16_t, TaskPolicy> policies;
  for (uint32_t left = in.Get<uint32_t>(); left > 0 && in.ok(); --left) {
    TaskPolicy& policy = policies[in.Get<uint16_t>()];
    policy.attempt_timeout_ms = in.Get<int64_t>();
    policy.max_attempts = in.Get<uint32_t>();
    policy.max_losses = in.Get<uint32_t>();
    policy.backoff.initial_ms = in.Get<int64_t>();
    policy.backoff.multiplier = in.GetDouble();
    policy.backoff.max_delay_ms = in.Get<int64_t>();
  }
  absl::flat_hash_map<uint32_t, std::pair<uint64_t, std::string>> sessions;
  for (uint32_t left = in.Get<uint32_t>(); left > 0 && in.ok(); --left) {
    const uint32_t number = in.Get<uint32_t>();
    const uint64_t id = in.Get<uint64_t>();
    sessions[number] = {id, in.GetText()};
  }
  for (uint32_t left = in.Get<uint32_t>(); left > 0 && in.ok(); --left) {
    const uint32_t offset = in.Get<uint16_t>();
    TaskSlot loaded = GetSlot(in);
    // A queue made after the header was taken: the records of its making and of all its tasks are in the tail.
    if (in.ok() && fold_.queue(loaded.queue) == nullptr) continue;
    if (!in.ok() || offset >= TaskTable::kSlabSlots || loaded.id == 0 ||
        fold_.tasks.Find(loaded.id) != kNoIndex || !policies.contains(loaded.policy)) {
      return Damaged("a task does not make sense");
    }
    const uint32_t index = slab * TaskTable::kSlabSlots + offset;
    const uint32_t worker = loaded.worker;
    loaded.policy = fold_.policies.Ref(policies[loaded.policy]);
    loaded.worker = kNoIndex;
    loaded.set(kFromChunk);
    fold_.tasks.AllocateAt(index, loaded.id) = loaded;
    if (const auto it = sessions.find(worker); worker != kNoIndex && it != sessions.end()) {
      fold_.MoveLease(index, fold_.sessions.FindOrAdd(it->second.first, it->second.second));
    }
  }
  return absl::OkStatus();
}

std::string WorkQueueImpl::KeysChunk(uint32_t first) const {
  std::string entries;
  ByteWriter out_entries(&entries);
  uint32_t count = 0;
  const uint32_t end = std::min(fold_.dedupe.capacity(), first + kKeysPerChunk);
  for (uint32_t i = first; i < end; ++i) {
    const DedupeEntry& entry = fold_.dedupe[i];
    if (entry.task == 0) continue;
    ++count;
    out_entries.Put(entry.hash.lo);
    out_entries.Put(entry.hash.hi);
    out_entries.Put(entry.request_hash);
    out_entries.Put(entry.task);
    out_entries.Put(entry.expiry_s);
    out_entries.Put(static_cast<uint8_t>(entry.state));
  }
  std::string bytes;
  ByteWriter out(&bytes);
  out.Put(kKeys);
  out.Put(kVersion);
  out.Put(count);
  bytes.append(entries);
  return bytes;
}

absl::Status WorkQueueImpl::LoadKeys(ByteReader& in) {
  for (uint32_t left = in.Get<uint32_t>(); left > 0 && in.ok(); --left) {
    Hash128 hash;
    hash.lo = in.Get<uint64_t>();
    hash.hi = in.Get<uint64_t>();
    const uint64_t request_hash = in.Get<uint64_t>();
    const uint64_t task = in.Get<uint64_t>();
    const uint32_t expiry_s = in.Get<uint32_t>();
    const TaskState state = static_cast<TaskState>(in.Get<uint8_t>());
    if (!in.ok() || task == 0) return Damaged("an idempotency key does not make sense");
    const uint32_t index = fold_.dedupe.Insert(hash, request_hash, task);
    if (expiry_s != 0) fold_.dedupe.SetEnded(index, int64_t{expiry_s} * 1000, state);
    if (const uint32_t slot = fold_.tasks.Find(task); slot != kNoIndex) fold_.tasks[slot].dedupe = index;
  }
  return absl::OkStatus();
}

absl::Status WorkQueueImpl::LoadChunk(Lsn as_of, absl::string_view bytes) {
  ByteReader in(bytes);
  const uint8_t kind = in.Get<uint8_t>();
  const uint8_t version = in.Get<uint8_t>();
  if (version > kVersion) {
    return MakeError(absl::StatusCode::kUnimplemented, "", absl::StrCat("checkpoint chunk of format ", version, ": this program reads up to ", kVersion));
  }
  absl::Status status;
  if (kind == kHeader) {
    status = LoadHeader(as_of, in);
  } else if (kind == kSlab) {
    status = LoadSlab(as_of, in);
  } else if (kind == kKeys) {
    status = LoadKeys(in);
  } else {
    return Damaged(absl::StrCat("chunk of unknown kind ", kind));
  }
  if (!status.ok()) return status;
  return in.ok() && in.at_end() ? absl::OkStatus() : Damaged("a chunk's length is wrong");
}

void WorkQueueImpl::BeginCheckpoint() {
  checkpoint_step_ = 0;
  checkpoint_running_ = true;
}

bool WorkQueueImpl::NextChunk(std::string* bytes, Lsn* as_of) {
  if (!checkpoint_running_) return false;
  *as_of = journal_->last_lsn();
  const uint32_t step = checkpoint_step_++;
  if (step == 0) {
    *bytes = HeaderChunk();
    return true;
  }
  // The keys begin when the last slab is out: slabs that are added meanwhile only hold what replay makes anyway.
  if (step == 1) checkpoint_slabs_ = fold_.tasks.slabs();
  if (step <= checkpoint_slabs_) {
    *bytes = SlabChunk(step - 1);
    return true;
  }
  const uint32_t first = (step - 1 - checkpoint_slabs_) * kKeysPerChunk;
  if (first < fold_.dedupe.capacity()) {
    *bytes = KeysChunk(first);
    return true;
  }
  checkpoint_running_ = false;
  return false;
}

std::string WorkQueueImpl::DebugDump() const {
  std::vector<std::string> lines;
  for (const auto& entry : fold_.queues) {
    if (entry == nullptr) continue;
    std::string meta;
    codec_.Encode(QueueRecord{0, entry->number, entry->name, entry->config, entry->flags, false, entry->created_at_ms}, &meta);
    lines.push_back(absl::StrFormat("queue %04d %s config=%d live=%d/%dB totals=%s", entry->number, entry->name,
                                    SipHash64({}, meta), entry->live_tasks, entry->live_bytes,
                                    absl::StrJoin(entry->totals, ",")));
  }
  for (uint32_t i = 0; i < fold_.tasks.capacity(); ++i) {
    const TaskSlot& s = fold_.tasks[i];
    if (s.id == 0) continue;
    const TaskPolicy& p = fold_.policies[s.policy];
    // Deadlines of leases are not journaled when they are extended.
    const int64_t due_ms = s.state == TaskState::kLeased ? 0 : s.due_ms;
    const std::string worker = s.worker == kNoIndex ? "" : fold_.sessions[s.worker].worker;
    const uint32_t key = fold_.DedupeOf(s);
    lines.push_back(absl::StrFormat(
        "task %020d queue=%d %s token=%d due=%d submitted=%d expire=%d pos=%d rec=%d len=%d start=%d attempts=%d failures=%d "
        "losses=%d releases=%d redrives=%d prio=%d flags=%d ttl=%d policy=%d/%d/%d/%d/%g/%d worker=%s keyed=%d",
        s.id, s.queue, TaskStateName(s.state), s.token, due_ms, s.submitted_ms, s.expire_ms, s.pos, s.rec, s.len,
        s.attempt_start(), s.attempts, s.failures, s.losses, s.releases, s.redrives, s.prio, s.flags & kDurableFlags,
        s.lease_ttl_s, p.attempt_timeout_ms, p.max_attempts, p.max_losses, p.backoff.initial_ms, p.backoff.multiplier,
        p.backoff.max_delay_ms, worker, key != kNoIndex));
  }
  for (uint32_t i = 0; i < fold_.dedupe.capacity(); ++i) {
    const DedupeEntry& e = fold_.dedupe[i];
    if (e.task == 0 || (e.expiry_s != 0 && int64_t{e.expiry_s} * 1000 <= now_ms_)) continue;
    lines.push_back(absl::StrFormat("key %016x%016x request=%x task=%d expiry=%d state=%d", e.hash.hi, e.hash.lo,
                                    e.request_hash, e.task, e.expiry_s, e.state + 0));
  }
  std::sort(lines.begin(), lines.end());
  lines.push_back(absl::StrFormat("next=%d", fold_.next_counter));
  return absl::StrJoin(lines, "\n") + "\n";
}

}  // namespace wheelpit
