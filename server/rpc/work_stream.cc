#include "server/rpc/work_stream.h"

#include <utility>

#include "base/errors.h"
#include "base/status_macros.h"

namespace wheelpit {
namespace {

// Requests of one stream that the engine has not run yet.
constexpr int kUnfinishedMax = 64;
constexpr size_t kBlockBytes = 4096;
// Payload of one Assign message; a single task may be larger.
constexpr size_t kAssignBytesMax = 4 << 20;
constexpr int kAssignTasksMax = 256;
constexpr int64_t kPingAfterMs = 10'000;
constexpr int64_t kDeadAfterMs = 20'000;
// Leases live 1 s at least, so extending them this often keeps every lease of a stream that says anything.
constexpr int64_t kHeartbeatSpacingMs = 250;

absl::Status BadField(absl::string_view message) { return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD", message); }

v1::LeaseRef* AddRef(const LeaseRef& lease, google::protobuf::RepeatedPtrField<v1::LeaseRef>* out) {
  v1::LeaseRef* ref = out->Add();
  ref->set_task_id(FormatTaskId(lease.task));
  ref->set_token(lease.token.value);
  return ref;
}

}  // namespace

WorkStream::WorkStream(RpcContext* rpc, StreamHub* hub, grpc::CallbackServerContext* context)
    : BidiStream(hub, context, kUnfinishedMax, kBlockBytes), rpc_(rpc), heard_at_ms_(rpc->clock->NowMs()) {}

void WorkStream::OnRequest(Slot* slot) {
  heard_at_ms_.store(rpc_->clock->NowMs(), std::memory_order_relaxed);
  {
    MutexLock lock(&mu_);
    pinged_ = false;
  }
  absl::StatusOr<Action> action = std::exchange(hello_seen_, true) ? OnMessage(slot->request()) : Hello(*slot->request());
  if (!action.ok()) {
    MutexLock lock(&mu_);
    CloseLocked(action.status());
    return FinishedLocked(slot);
  }
  // Finished only when the engine has run it, so that a flood stops being read.
  rpc_->engine->Post([self = Self(), slot, run = *std::move(action)]() mutable {
    run(self->rpc_->clock->NowMs());
    self->Finished(slot);
  });
}

absl::StatusOr<WorkStream::Action> WorkStream::Hello(const v1::WorkRequest& request) {
  if (!request.has_hello()) return BadField("the first message must be hello");
  const v1::WorkHello& hello = request.hello();
  SessionHello session;
  session.worker_id = hello.worker_id();
  WHEELPIT_ASSIGN_OR_RETURN(session.session, ParseSessionId(hello.session_id()));
  WHEELPIT_ASSIGN_OR_RETURN(session.queues, QueuesFromProto(hello.queues()));
  LeaseResults unused(v1::LEASE_OPERATION_UNSPECIFIED);
  session.held = LeasesFromProto(hello.held(), &unused);
  if (static_cast<int>(session.held.size()) != hello.held_size()) {
    return BadField("held: a task id or token that no server gave");
  }
  session.slots = hello.credit().slots();
  session.bytes = hello.credit().bytes();
  return Action([this, session = std::move(session)](int64_t now) { OpenOnEngine(session, now); });
}

void WorkStream::OpenOnEngine(const SessionHello& hello, int64_t now) {
  absl::StatusOr<SessionWelcome> opened = rpc_->queue->OpenSession(hello, this, now);
  MutexLock lock(&mu_);
  if (!opened.ok()) return CloseLocked(opened.status());
  session_ = opened->session;
  for (const LeaseRef& lease : hello.held) held_.insert(lease.token.value);
  welcome_ = std::make_unique<v1::WorkWelcome>();
  welcome_->set_session_id(FormatSessionId(opened->session));
  welcome_->set_session_grace_ms(rpc_->queue_options.session_grace_ms);
  for (const LeaseRef& lease : opened->lost) {
    held_.erase(lease.token.value);
    AddRef(lease, welcome_->mutable_lost());
  }
  FlushLocked();
}

template <typename Items, typename Method>
WorkStream::Action WorkStream::Operate(v1::LeaseOperation operation, Items items, LeaseResults results, Method method) {
  return [this, operation, items = std::move(items), results = std::move(results), method](int64_t now) mutable {
    SignOfLife(now);
    {
      MutexLock lock(&mu_);
      OweLocked();
    }
    if (items.empty()) return Answer(operation, std::move(results), {});
    (rpc_->queue->*method)(std::move(items), session_, now,
                           [self = Self(), operation, results = std::move(results)](std::vector<LeaseOutcome> outcomes) mutable {
                             self->Answer(operation, std::move(results), outcomes);
                           });
  };
}

absl::StatusOr<WorkStream::Action> WorkStream::OnMessage(v1::WorkRequest* request) {
  switch (request->message_case()) {
    case v1::WorkRequest::kComplete: {
      LeaseResults results(v1::LEASE_OPERATION_COMPLETE);
      auto items = CompletionsFromProto(request->mutable_complete()->mutable_completions(), &results);
      return Operate(v1::LEASE_OPERATION_COMPLETE, std::move(items), std::move(results), &WorkQueue::Complete);
    }
    case v1::WorkRequest::kFail: {
      LeaseResults results(v1::LEASE_OPERATION_FAIL);
      auto items = FailuresFromProto(request->mutable_fail()->mutable_failures(), &results);
      return Operate(v1::LEASE_OPERATION_FAIL, std::move(items), std::move(results), &WorkQueue::Fail);
    }
    case v1::WorkRequest::kExtend: {
      LeaseResults results(v1::LEASE_OPERATION_EXTEND);
      auto items = ExtensionsFromProto(request->extend().extensions(), &results);
      return Operate(v1::LEASE_OPERATION_EXTEND, std::move(items), std::move(results), &WorkQueue::Extend);
    }
    case v1::WorkRequest::kRelease: {
      LeaseResults results(v1::LEASE_OPERATION_RELEASE);
      auto items = LeasesFromProto(request->release().leases(), &results);
      return Operate(v1::LEASE_OPERATION_RELEASE, std::move(items), std::move(results), &WorkQueue::Release);
    }
    case v1::WorkRequest::kCredit:
      return Action([this, slots = request->credit().slots(), bytes = request->credit().bytes()](int64_t now) {
        SignOfLife(now);
        if (session_ != 0 && !superseded_) rpc_->queue->SetCredit(session_, slots, bytes, now);
      });
    case v1::WorkRequest::kDrain:
      return Action([this](int64_t now) {
        if (session_ != 0 && !superseded_) rpc_->queue->DrainSession(session_, now);
        MutexLock lock(&mu_);
        draining_ = true;
        CloseIfDrained();
      });
    case v1::WorkRequest::kHello:
      return BadField("hello comes once");
    case v1::WorkRequest::kProgress: {
      v1::WorkProgress* progress = request->mutable_progress();
      WHEELPIT_ASSIGN_OR_RETURN(const TaskId task, ParseTaskId(progress->lease().task_id()));
      const LeaseRef lease{task, LeaseToken{progress->lease().token()}};
      return Action([this, lease, percent = progress->percent(), note = std::move(*progress->mutable_note())](int64_t now) mutable {
        SignOfLife(now);
        const absl::Status kept = rpc_->queue->Progress(lease, percent, std::move(note), now);
        // A lease that was lost meanwhile is told of elsewhere.
        if (!absl::IsInvalidArgument(kept)) return;
        MutexLock lock(&mu_);
        CloseLocked(kept);
      });
    }
    case v1::WorkRequest::kHeartbeat:
    case v1::WorkRequest::kStarted:         // nothing is recalled, so whether it was started changes nothing
    case v1::WorkRequest::MESSAGE_NOT_SET:  // a kind that a later version knows
      break;
  }
  return Action([this](int64_t now) { SignOfLife(now); });
}

void WorkStream::SignOfLife(int64_t now) {
  if (session_ == 0 || superseded_ || now < next_heartbeat_ms_) return;
  next_heartbeat_ms_ = now + kHeartbeatSpacingMs;
  rpc_->queue->Heartbeat(session_, now);
}

void WorkStream::Answer(v1::LeaseOperation operation, LeaseResults results, const std::vector<LeaseOutcome>& outcomes) {
  results.Fill(outcomes);
  MutexLock lock(&mu_);
  for (v1::LeaseResult& result : results.results()) {
    // Over for this worker, be it done or lost.
    if (operation != v1::LEASE_OPERATION_EXTEND || result.status().code() != 0) {
      if (result.status().code() == 0 || result.status().reason() == "LEASE_LOST" || result.status().reason() == "TASK") {
        held_.erase(result.token());
      }
    }
    ack_.add_results()->Swap(&result);
  }
  PaidLocked();
  FlushSoonLocked(rpc_->engine);
  CloseIfDrained();
}

void WorkStream::Assign(std::vector<Assignment> assignments) {
  MutexLock lock(&mu_);
  for (Assignment& assignment : assignments) {
    held_.insert(assignment.token.value);
    assignments_.push_back(std::move(assignment));
  }
  FlushSoonLocked(rpc_->engine);
}

void WorkStream::LeaseLost(std::vector<LeaseRef> leases, absl::string_view cause) {
  MutexLock lock(&mu_);
  if (lost_.empty() || lost_.back().cause() != cause) {
    lost_.emplace_back();
    lost_.back().set_cause(std::string(cause));
  }
  for (const LeaseRef& lease : leases) {
    held_.erase(lease.token.value);
    AddRef(lease, lost_.back().mutable_leases());
  }
  FlushLocked();
  CloseIfDrained();
}

void WorkStream::CancelNotice(std::vector<LeaseRef> leases) {
  MutexLock lock(&mu_);
  for (const LeaseRef& lease : leases) AddRef(lease, cancel_.mutable_leases());
  FlushLocked();
}

void WorkStream::Superseded() {
  superseded_ = true;
  MutexLock lock(&mu_);
  CloseLocked(MakeError(absl::StatusCode::kAborted, "SESSION_SUPERSEDED", "another stream took this session over"));
}

void WorkStream::Tick(int64_t now_ms) {
  const int64_t silent_ms = now_ms - heard_at_ms_.load(std::memory_order_relaxed);
  if (silent_ms < kPingAfterMs) return;
  MutexLock lock(&mu_);
  if (silent_ms >= kDeadAfterMs) {
    return AbandonLocked(absl::DeadlineExceededError("nothing was heard of the worker for 20 s"));
  }
  if (pinged_ || !welcomed_) return;
  pinged_ = ping_due_ = true;
  FlushLocked();
}

void WorkStream::GoAway() {
  MutexLock lock(&mu_);
  go_away_due_ = true;
  LeaveLocked();
}

void WorkStream::CloseIfDrained() {
  if (draining_ && held_.empty() && assignments_.empty()) CloseLocked(absl::OkStatus());
  SettleLocked();
}

bool WorkStream::FillLocked(v1::WorkResponse* out) {
  if (welcome_ != nullptr) {
    out->mutable_welcome()->Swap(welcome_.get());
    welcome_.reset();
    welcomed_ = true;
  } else if (!welcomed_) {
    return false;  // nothing goes before the welcome
  } else if (ack_.results_size() > 0) {
    out->mutable_ack()->Swap(&ack_);
  } else if (!lost_.empty()) {
    out->mutable_lease_lost()->Swap(&lost_.front());
    lost_.pop_front();
  } else if (cancel_.leases_size() > 0) {
    out->mutable_cancel_notice()->Swap(&cancel_);
  } else if (!assignments_.empty()) {
    size_t bytes = 0;
    v1::WorkAssign* assign = out->mutable_assign();
    do {
      bytes += assignments_.front().task.payload.size();
      AssignmentToProto(std::move(assignments_.front()), assign->add_assignments());
      assignments_.pop_front();
    } while (!assignments_.empty() && assign->assignments_size() < kAssignTasksMax &&
             bytes + assignments_.front().task.payload.size() <= kAssignBytesMax);
  } else if (std::exchange(ping_due_, false)) {
    out->mutable_ping();
  } else if (std::exchange(go_away_due_, false)) {
    out->mutable_go_away();
  } else {
    return false;
  }
  return true;
}

void WorkStream::OnEnded() {
  rpc_->engine->Post([self = Self()] {
    if (self->session_ == 0 || self->superseded_) return;
    self->rpc_->queue->StreamClosed(self->session_, self.get(), self->rpc_->clock->NowMs());
  });
}

}  // namespace wheelpit
