// Worker streams: opening, resuming with held leases, credit, signs of life, and their end.
#include <algorithm>

#include "base/errors.h"
#include "server/queue/limits.h"
#include "server/queue/work_queue_impl.h"

namespace wheelpit {

absl::StatusOr<SessionWelcome> WorkQueueImpl::OpenSession(const SessionHello& hello, WorkerChannel* channel, int64_t now) {
  now = Tick(now);
  if (absl::Status s = UsableForNew(); !s.ok()) return s;
  if (hello.worker_id.size() > 128) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD", "worker_id: at most 128 bytes");
  }
  auto consumer = std::make_unique<Consumer>();
  if (absl::Status s = Subscribe(hello.queues, now, consumer.get()); !s.ok()) return s;

  uint32_t index = hello.session == 0 ? kNoIndex : fold_.sessions.FindById(hello.session);
  if (index == kNoIndex) index = fold_.sessions.FindOrAdd(epoch_ << 40 | next_session_++, hello.worker_id);
  Session& session = fold_.sessions[index];
  if (session.channel != nullptr) superseded_.push_back(session.channel);
  if (session.consumer != kNoIndex) DropConsumer(session.consumer);
  if (session.grace_end_ms != 0) grace_ends_.erase({session.grace_end_ms, index});
  session.grace_end_ms = 0;
  session.channel = channel;
  session.worker = hello.worker_id;
  consumer->session = index;
  consumer->slots = hello.slots;
  consumer->bytes = hello.bytes == 0 ? kCreditBytesDefault : hello.bytes;
  session.consumer = AddConsumer(std::move(consumer));

  SessionWelcome welcome;
  welcome.session = session.id;
  AdoptHeld(index, hello.held, now, &welcome.lost);
  WakeConsumer(session.consumer);
  return welcome;
}

void WorkQueueImpl::AdoptHeld(uint32_t index, const std::vector<LeaseRef>& held, int64_t now, std::vector<LeaseRef>* lost) {
  absl::flat_hash_set<uint32_t> kept;
  for (const LeaseRef& ref : held) {
    const uint32_t task = fold_.tasks.Find(ref.task.value);
    if (task == kNoIndex || fold_.tasks[task].state != TaskState::kLeased || fold_.tasks[task].token != ref.token.value) {
      lost->push_back(ref);
      continue;
    }
    kept.insert(task);
    TaskSlot& slot = fold_.tasks[task];
    fold_.MoveLease(task, index);
    bool final = false;
    const int64_t ttl_ms = int64_t{slot.lease_ttl_s} * 1000;
    if (slot.due_ms < now + ttl_ms) ExtendTo(slot, ttl_ms, now, &final);
  }
  // What the worker does not claim to hold never reached it, or it has given up: nobody works on it.
  std::vector<uint32_t> gone;
  for (const uint32_t task : fold_.sessions[index].leases) {
    if (!kept.contains(task)) gone.push_back(task);
  }
  std::sort(gone.begin(), gone.end());
  for (const uint32_t task : gone) {
    if (!LoseLease(task, "worker_lost", now).ok()) return;
  }
}

void WorkQueueImpl::SetCredit(SessionId id, uint32_t slots, uint64_t bytes, int64_t now) {
  Tick(now);
  const uint32_t index = fold_.sessions.FindById(id);
  if (index == kNoIndex || fold_.sessions[index].consumer == kNoIndex) return;
  Consumer& consumer = *consumers_[fold_.sessions[index].consumer];
  consumer.slots = slots;
  consumer.bytes = bytes == 0 ? kCreditBytesDefault : bytes;
  WakeConsumer(fold_.sessions[index].consumer);
}

void WorkQueueImpl::Heartbeat(SessionId id, int64_t now) {
  now = Tick(now);
  const uint32_t index = fold_.sessions.FindById(id);
  if (index == kNoIndex) return;
  Session& session = fold_.sessions[index];
  if (session.leases.empty() || now - session.extended_at_ms < session.ttl_min_ms / 3) return;
  session.extended_at_ms = now;
  for (const uint32_t task : session.leases) {
    TaskSlot& slot = fold_.tasks[task];
    const int64_t ttl_ms = int64_t{slot.lease_ttl_s} * 1000;
    bool final = false;
    // A longer extension that was asked for stays.
    if (slot.due_ms >= now + ttl_ms) continue;
    ExtendTo(slot, ttl_ms, now, &final);
    ProbeOf(*fold_.queue(slot.queue)).extended->Add();
  }
}

void WorkQueueImpl::DrainSession(SessionId id, int64_t now) {
  Tick(now);
  const uint32_t index = fold_.sessions.FindById(id);
  if (index == kNoIndex || fold_.sessions[index].consumer == kNoIndex) return;
  consumers_[fold_.sessions[index].consumer]->draining = true;
}

void WorkQueueImpl::StreamClosed(SessionId id, WorkerChannel* channel, int64_t now) {
  now = Tick(now);
  const uint32_t index = fold_.sessions.FindById(id);
  std::erase(superseded_, channel);
  if (index == kNoIndex || fold_.sessions[index].channel != channel) return;
  Session& session = fold_.sessions[index];
  session.channel = nullptr;
  DropConsumer(session.consumer);
  session.consumer = kNoIndex;
  session.grace_end_ms = now + options_.session_grace_ms;
  grace_ends_.insert({session.grace_end_ms, index});
}

void WorkQueueImpl::EndGrace(uint32_t index, int64_t now) {
  Session& session = fold_.sessions[index];
  std::vector<uint32_t> held(session.leases.begin(), session.leases.end());
  // In the order of ids, so that one history gives one order.
  std::sort(held.begin(), held.end(),
            [this](uint32_t a, uint32_t b) { return fold_.tasks[a].id < fold_.tasks[b].id; });
  for (const uint32_t task : held) {
    if (!LoseLease(task, "worker_lost", now).ok()) return;
  }
  if (!fold_.sessions.Has(index)) return;
  fold_.sessions[index].grace_end_ms = 0;
  fold_.sessions.DropIfIdle(index);
}

void WorkQueueImpl::LeasesLost(uint32_t index, std::vector<LeaseRef> leases, absl::string_view cause) {
  if (index == kNoIndex || !fold_.sessions.Has(index)) return;
  if (WorkerChannel* channel = fold_.sessions[index].channel) channel->LeaseLost(std::move(leases), cause);
}

}  // namespace wheelpit
