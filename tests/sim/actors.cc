#include "tests/sim/actors.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errors.h"

namespace wheelpit::sim {

// --- submitters ------------------------------------------------------------------------------------------------------------------

TaskSpec Submitter::Make() {
  TaskSpec spec;
  const uint64_t n = next_++;
  spec.queue = c_.queues[c_.rng->Below(c_.queues.size())];
  spec.payload = absl::StrCat("task ", n, " ", std::string(c_.rng->Below(300), static_cast<char>('a' + n % 26)));
  if (c_.rng->Chance(0.7)) spec.idempotency_key = absl::StrCat("key-", n);
  if (c_.rng->Chance(0.15)) spec.delay_ms = static_cast<int64_t>(1 + c_.rng->Below(6000));
  if (c_.rng->Chance(0.2)) spec.priority = static_cast<int>(c_.rng->Below(16)) - 8;
  if (c_.rng->Chance(0.3)) spec.counts.push_back({"submits_total", {{"queue", spec.queue}}});
  return spec;
}

void Submitter::Settled(const TaskSpec& spec, const absl::StatusOr<SubmitOutcome>& r, int64_t sent_ms) {
  if (r.ok()) {
    unknown_.erase(spec.idempotency_key);
    c_.history->SubmitOk(spec.payload, spec.idempotency_key, spec.delay_ms > 0 && !r->deduplicated ? sent_ms + spec.delay_ms : 0, *r);
  } else if (r.status().code() == absl::StatusCode::kAlreadyExists) {
    c_.history->Violation(absl::StrCat("I3: a repeat of ", spec.idempotency_key, " was called a conflict: ", r.status().message()));
  }
}

void Submitter::Send(TaskSpec spec) {
  if (!spec.idempotency_key.empty()) unknown_[spec.idempotency_key] = spec;
  const int64_t now = c_.world->now();
  c_.world->queue().Submit(spec, now, [this, spec, now](absl::StatusOr<SubmitOutcome> r) { Settled(spec, r, now); });
}

void Submitter::SendBatch(bool atomic) {
  std::vector<TaskSpec> specs;
  for (uint64_t i = 0, n = 2 + c_.rng->Below(6); i < n; ++i) {
    specs.push_back(Make());
    if (!specs.back().idempotency_key.empty()) unknown_[specs.back().idempotency_key] = specs.back();
  }
  const int64_t now = c_.world->now();
  c_.world->queue().SubmitBatch(specs, atomic, now,
                                [this, specs, now](absl::StatusOr<std::vector<absl::StatusOr<SubmitOutcome>>> r) {
                                  if (!r.ok()) return;
                                  for (size_t i = 0; i < specs.size(); ++i) Settled(specs[i], (*r)[i], now);
                                });
}

void Submitter::RetryUnknown() {
  if (unknown_.empty()) return;
  auto it = unknown_.begin();
  std::advance(it, static_cast<int64_t>(c_.rng->Below(unknown_.size())));
  Send(it->second);
}

void Submitter::Step() {
  const double dice = c_.rng->Unit();
  if (dice < 0.65) {
    Send(Make());
  } else if (dice < 0.8) {
    SendBatch(c_.rng->Chance(0.5));
  } else {
    RetryUnknown();
  }
}

// --- workers ---------------------------------------------------------------------------------------------------------------------

void Worker::Connect(uint32_t slots) {
  SessionHello hello;
  hello.worker_id = name_;
  // A resumed session keeps its leases, also over a restart of the server.
  hello.session = session_;
  hello.held = held_;
  for (const std::string& q : c_.queues) hello.queues.push_back({q, 1});
  hello.slots = slots;
  slots_ = slots;
  absl::StatusOr<SessionWelcome> welcome = c_.world->queue().OpenSession(hello, this, c_.world->now());
  if (!welcome.ok()) return;
  session_ = welcome->session;
  life_ = c_.world->life();
  for (const LeaseRef& lost : welcome->lost) Drop(lost.task);
  // What the worker does not name is lost at once, such as a task whose completion was sent and never answered.
  for (const LeaseRef& lease : old_) {
    if (c_.history->TokenNow(lease.task) == lease.token.value) c_.history->LeaseMayEnd(lease.task);
  }
}

void Worker::Disconnect() {
  if (!connected()) return;
  c_.world->queue().StreamClosed(session_, this, c_.world->now());
  for (const LeaseRef& lease : held_) c_.history->LeaseMayEnd(lease.task);
  life_ = 0;
}

void Worker::ServerGone() { life_ = 0; }

void Worker::Drop(TaskId id) {
  held_.erase(std::remove_if(held_.begin(), held_.end(), [&](const LeaseRef& l) { return l.task == id; }), held_.end());
}

bool Worker::IsHeld(const LeaseRef& lease) const {
  return std::any_of(held_.begin(), held_.end(),
                     [&](const LeaseRef& l) { return l.task == lease.task && l.token.value == lease.token.value; });
}

void Worker::Take(const Assignment& a) {
  c_.history->Assigned(a, c_.world->now());
  Drop(a.task.id);
  held_.push_back({a.task.id, a.token});
  if (old_.size() < 200) {
    old_.push_back(held_.back());
  } else {
    old_[c_.rng->Below(old_.size())] = held_.back();
  }
}

void Worker::Assign(std::vector<Assignment> assignments) {
  if (held_.size() + assignments.size() > slots_) {
    c_.history->Violation(absl::StrCat("I16: ", name_, " has ", slots_, " slots, holds ", held_.size(), " and was given ", assignments.size()));
  }
  for (const Assignment& a : assignments) Take(a);
}

void Worker::LeaseLost(std::vector<LeaseRef> leases, absl::string_view) {
  for (const LeaseRef& l : leases) {
    c_.history->LeaseMayEnd(l.task);
    Drop(l.task);
  }
}

void Worker::CancelNotice(std::vector<LeaseRef> leases) {
  for (const LeaseRef& l : leases) c_.history->LeaseMayEnd(l.task);
}

void Worker::LeaseUnary() {
  c_.world->queue().LeaseTasks(name_ + "-unary", {{c_.queues[c_.rng->Below(c_.queues.size())], 1}}, 1 + static_cast<uint32_t>(c_.rng->Below(4)),
                               static_cast<int64_t>(c_.rng->Below(2000)), c_.world->now(),
                               [this](absl::StatusOr<std::vector<Assignment>> r) {
                                 if (!r.ok()) return;
                                 // Held outside the session's slots: remembered for careless use, and left to run out.
                                 for (const Assignment& a : *r) {
                                   c_.history->Assigned(a, c_.world->now());
                                   old_.push_back({a.task.id, a.token});
                                 }
                               });
}

LeaseRef Worker::Pick() {
  if (!held_.empty() && c_.rng->Chance(0.85)) return held_[c_.rng->Below(held_.size())];
  if (!old_.empty()) return old_[c_.rng->Below(old_.size())];
  return {};
}

void Worker::Complete(LeaseRef lease) {
  Completion item{lease.task, lease.token, absl::StrCat("result of ", FormatTaskId(lease.task), " by ", lease.token.value), "text/plain"};
  const uint64_t known = c_.history->TokenNow(lease.task);
  // Careless use of an old token leaves what is held of the same task since then.
  if (IsHeld(lease)) Drop(lease.task);
  c_.world->queue().Complete({item}, connected() ? session_ : 0, c_.world->now(), [this, item, known](std::vector<LeaseOutcome> r) {
    if (r[0].status.ok()) c_.history->OperationOk(LeaseOp::kComplete, item.task, item.token.value, known, &item);
  });
}

void Worker::Fail(LeaseRef lease) {
  Failure item;
  item.task = lease.task;
  item.token = lease.token;
  item.error = "simulated";
  item.retryable = !c_.rng->Chance(0.05);
  const uint64_t known = c_.history->TokenNow(lease.task);
  c_.history->LeaseMayEnd(lease.task);
  Drop(lease.task);
  const int64_t now = c_.world->now();
  // The time counts from the first Fail of a token; the answer to it may have been lost.
  const bool first = c_.history->FirstFail(item.token.value);
  c_.world->queue().Fail({item}, connected() ? session_ : 0, now, [this, item, known, now, first](std::vector<LeaseOutcome> r) {
    if (!r[0].status.ok()) return;
    c_.history->OperationOk(LeaseOp::kFail, item.task, item.token.value, known, nullptr);
    absl::StatusOr<TaskView> view = c_.world->queue().GetTask(item.task, {}, c_.world->now());
    if (first && item.retryable && view.ok() && view->losses == 0) c_.history->CheckRetryTime(*view, now, view->backoff);
  });
}

void Worker::Extend(LeaseRef lease) {
  const uint64_t known = c_.history->TokenNow(lease.task);
  c_.world->queue().Extend({{lease.task, lease.token, 0}}, connected() ? session_ : 0, c_.world->now(),
                           [this, lease, known](std::vector<LeaseOutcome> r) {
                             if (r[0].status.ok()) c_.history->OperationOk(LeaseOp::kExtend, lease.task, lease.token.value, known, nullptr);
                           });
}

void Worker::Release(LeaseRef lease) {
  const uint64_t known = c_.history->TokenNow(lease.task);
  c_.history->LeaseMayEnd(lease.task);
  Drop(lease.task);
  c_.world->queue().Release({lease}, connected() ? session_ : 0, c_.world->now(), [this, lease, known](std::vector<LeaseOutcome> r) {
    if (r[0].status.ok()) c_.history->OperationOk(LeaseOp::kRelease, lease.task, lease.token.value, known, nullptr);
  });
}

void Worker::Operate() {
  const LeaseRef lease = Pick();
  if (lease.task.value == 0) return;
  const double dice = c_.rng->Unit();
  if (dice < 0.55) {
    Complete(lease);
  } else if (dice < 0.75) {
    Fail(lease);
  } else if (dice < 0.88) {
    Extend(lease);
  } else if (dice < 0.94) {
    Release(lease);
  } else {
    const TaskId id = lease.task;
    c_.world->queue().Cancel(id, c_.rng->Chance(0.3), c_.world->now(), [this, id](absl::StatusOr<TaskView> r) {
      if (r.ok()) c_.history->CancelOk(id, r->state);
    });
    c_.history->LeaseMayEnd(id);
  }
}

void Worker::Step() {
  const double dice = c_.rng->Unit();
  if (!connected()) {
    if (dice < 0.5) Connect(1 + static_cast<uint32_t>(c_.rng->Below(6)));
    if (dice > 0.9) Operate();
    return;
  }
  if (dice < 0.8) {
    Operate();
  } else if (dice < 0.9) {
    c_.world->queue().Heartbeat(session_, c_.world->now());
  } else if (dice < 0.95) {
    LeaseUnary();
  } else if (dice < 0.98) {
    slots_ = std::max<uint32_t>(static_cast<uint32_t>(c_.rng->Below(8)), static_cast<uint32_t>(held_.size()));
    c_.world->queue().SetCredit(session_, slots_, 0, c_.world->now());
  } else {
    Disconnect();
  }
}

void Worker::CompleteAll() {
  const std::vector<LeaseRef> all = held_;
  for (const LeaseRef& lease : all) Complete(lease);
}

// --- reporters -------------------------------------------------------------------------------------------------------------------

Reporter::Reporter(Context* context, int index) : c_(*context), id_("reporter-" + std::to_string(index)) {}
Reporter::~Reporter() = default;

void Reporter::ServerGone() { Lost(); }

void Reporter::Lost() {
  stream_.reset();
  ++stream_number_;
  lost_ = false;
}

bool Reporter::Open() {
  if (stream_ && stream_life_ == c_.world->life() && !lost_) return true;
  if (stream_) Lost();
  ReportHello hello;
  hello.reporter_id = id_;
  hello.incarnation = incarnation_;
  hello.acked_through = acked_;
  HelloOutcome outcome;
  auto stream = c_.world->ingest().Open(hello, c_.world->now(), &outcome, nullptr);
  if (!stream.ok()) return false;
  stream_ = *std::move(stream);
  stream_life_ = c_.world->life();
  ++stream_number_;
  defined_ = false;
  if (outcome.applied_seq < acked_) {
    c_.history->Violation(absl::StrCat("totals: ", id_, " had ", acked_, " batches acknowledged, the server knows ", outcome.applied_seq));
  }
  sent_through_ = outcome.applied_seq;
  // What the server has of the unacknowledged ones needs no resend, but its ack.
  while (!unacked_.empty() && unacked_.front().seq <= outcome.applied_seq && c_.rng->Chance(0.5)) {
    sent_through_ = unacked_.front().seq - 1;  // resend: it must be recognised
    break;
  }
  return true;
}

void Reporter::Make() {
  Sent batch;
  batch.seq = next_seq_++;
  for (uint32_t ref = 0; ref < 5; ++ref) {
    if (!c_.rng->Chance(0.7)) continue;
    batch.refs.push_back(ref);
    batch.values.push_back(c_.rng->Below(1000));
    totals_[absl::StrCat("s", ref)] += batch.values.back();
  }
  unacked_.push_back(std::move(batch));
}

void Reporter::Send(const Sent& sent) {
  ReportBatch batch;
  batch.seq = sent.seq;
  batch.interval_ms = 1000;
  batch.age_ms = static_cast<int64_t>(c_.rng->Below(500));
  if (!defined_) {
    defined_ = true;
    Family family;
    family.name = "sim_total";
    family.type = MetricType::kCounter;
    batch.families.push_back(family);
    for (uint32_t ref = 0; ref < 5; ++ref) {
      batch.series.push_back({ref, "sim_total", {{"reporter", id_}, {"series", absl::StrCat("s", ref)}}});
    }
  }
  batch.counter_refs = sent.refs;
  batch.counter_values = sent.values;
  batch.encoded_bytes = 8 * sent.refs.size() + 16;
  const uint64_t number = stream_number_;
  stream_->Apply(std::move(batch), c_.world->now(), [this, number](absl::StatusOr<BatchAck> ack) {
    if (number != stream_number_) return;
    if (!ack.ok()) {
      lost_ = true;
      return;
    }
    if (!ack->rejects.empty()) c_.history->Violation("totals: a good sample was rejected: " + ack->rejects[0].message);
    acked_ = std::max(acked_, ack->through_seq);
    while (!unacked_.empty() && unacked_.front().seq <= acked_) {
      last_acked_ = unacked_.front();
      unacked_.pop_front();
    }
  });
}

void Reporter::StepAnomaly() {
  const double dice = c_.rng->Unit();
  if (dice < 0.5 && last_acked_.seq > 0) {
    Send(last_acked_);  // a repeat long settled
  } else if (dice < 0.7) {
    Sent gap;
    gap.seq = next_seq_ + 1;  // never the next one, whatever arrived
    gap.refs = {0};
    gap.values = {999'999};
    Send(gap);  // refused; it must not count
    lost_ = true;
  } else {
    Lost();
  }
}

void Reporter::Step() {
  if (unacked_.size() < 8) Make();
  if (!Open()) return;
  if (c_.rng->Chance(0.06)) {
    StepAnomaly();
    return;
  }
  for (const Sent& batch : unacked_) {
    if (batch.seq == sent_through_ + 1) {
      sent_through_ = batch.seq;
      Send(batch);
      break;
    }
  }
}

void Reporter::Flush() {
  for (int i = 0; i < 200 && !unacked_.empty(); ++i) {
    if (!Open()) {
      c_.world->Settle();
      continue;
    }
    // Everything from the first that is not acknowledged on.
    if (sent_through_ >= unacked_.front().seq) sent_through_ = unacked_.front().seq - 1;
    const std::deque<Sent> batches = unacked_;
    for (const Sent& batch : batches) {
      sent_through_ = batch.seq;
      Send(batch);
      if (lost_) break;
    }
    c_.world->Settle();
  }
}

}  // namespace wheelpit::sim
