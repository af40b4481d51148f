#include "client/sdk/worker.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <thread>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "base/sync.h"
#include "base/utf8.h"
#include "client/sdk/channel.h"
#include "client/sdk/stream.h"
#include "wheelpit/v1/queue.grpc.pb.h"

namespace wheelpit {
namespace {

using WorkCall = StreamCall<v1::WorkRequest, v1::WorkResponse>;
using Kind = RunOutcome::Kind;
using LeaseKey = std::pair<std::string, uint64_t>;  // task id, token

constexpr int64_t kHelloTimeoutMs = 10'000;
constexpr int64_t kHeartbeatMsMax = 10'000;
constexpr int64_t kSteadyMs = 1'000;
// How long the destructor waits for the last acknowledgements.
constexpr int64_t kGoodbyeMs = 5'000;
constexpr int kItemsPerWriteMax = 1000;
constexpr size_t kBytesPerWriteMax = 4 << 20;
constexpr size_t kErrorBytesMax = 4096;
constexpr size_t kNoteBytesMax = 1024;

int64_t NowMs() { return ClientClock().NowMs(); }

bool IsFatal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnimplemented:
      return true;
    default:
      return false;
  }
}

v1::LeaseOperation OperationOf(Kind kind) {
  switch (kind) {
    case Kind::kComplete:
      return v1::LEASE_OPERATION_COMPLETE;
    case Kind::kRelease:
      return v1::LEASE_OPERATION_RELEASE;
    case Kind::kFail:
    case Kind::kFailForGood:
      break;
  }
  return v1::LEASE_OPERATION_FAIL;
}

// What handlers ask of the stream's thread while they run.
struct Requests {
  Mutex mu;
  std::map<LeaseKey, absl::Duration> extensions ABSL_GUARDED_BY(mu);
  std::map<LeaseKey, std::pair<uint32_t, std::string>> progress ABSL_GUARDED_BY(mu);
  const std::shared_ptr<Wakeup> wakeup = std::make_shared<Wakeup>();
};

}  // namespace

struct TaskRunState {
  LeaseKey key() const { return {id, token}; }
  void Cancel(bool lost) {
    MutexLock lock(&mu);
    cancelled = true;
    if (lost) lease_lost = true;
    changed.SignalAll();
  }

  std::string id, queue, payload, content_type;
  std::map<std::string, std::string> attributes;
  uint32_t attempt = 0;
  uint64_t token = 0;
  int64_t lease_ttl_ms = 0;
  std::shared_ptr<Requests> requests;

  mutable Mutex mu;
  mutable CondVar changed;
  bool cancelled ABSL_GUARDED_BY(mu) = false;
  bool lease_lost ABSL_GUARDED_BY(mu) = false;
};

TaskRun::TaskRun(std::shared_ptr<TaskRunState> state) : state_(std::move(state)) {}
const std::string& TaskRun::id() const { return state_->id; }
const std::string& TaskRun::queue() const { return state_->queue; }
const std::string& TaskRun::payload() const { return state_->payload; }
const std::string& TaskRun::content_type() const { return state_->content_type; }
const std::map<std::string, std::string>& TaskRun::attributes() const { return state_->attributes; }
uint32_t TaskRun::attempt() const { return state_->attempt; }
uint64_t TaskRun::token() const { return state_->token; }

bool TaskRun::cancelled() const {
  MutexLock lock(&state_->mu);
  return state_->cancelled;
}

bool TaskRun::lease_lost() const {
  MutexLock lock(&state_->mu);
  return state_->lease_lost;
}

bool TaskRun::WaitCancelled(absl::Duration timeout) const {
  const int64_t until = NowMs() + absl::ToInt64Milliseconds(timeout);
  MutexLock lock(&state_->mu);
  while (!state_->cancelled) {
    const int64_t left = until - NowMs();
    if (left <= 0) return false;
    state_->changed.WaitWithTimeout(&state_->mu, absl::Milliseconds(left));
  }
  return true;
}

void TaskRun::Extend(absl::Duration ttl) {
  Requests& requests = *state_->requests;
  {
    MutexLock lock(&requests.mu);
    requests.extensions[state_->key()] = ttl;
  }
  requests.wakeup->Signal();
}

void TaskRun::Progress(uint32_t percent, absl::string_view note) {
  Requests& requests = *state_->requests;
  {
    MutexLock lock(&requests.mu);
    requests.progress[state_->key()] = {std::min<uint32_t>(percent, 100),
                                        ToValidUtf8(note, kNoteBytesMax)};
  }
  requests.wakeup->Signal();
}

RunOutcome RunOutcome::Complete(std::string result, std::string content_type) {
  RunOutcome outcome;
  outcome.result = std::move(result);
  outcome.result_content_type = std::move(content_type);
  return outcome;
}

RunOutcome RunOutcome::Fail(std::string error, absl::Duration retry_after) {
  RunOutcome outcome;
  outcome.kind = Kind::kFail;
  outcome.error = std::move(error);
  outcome.retry_after = retry_after;
  return outcome;
}

RunOutcome RunOutcome::FailForGood(std::string error) {
  RunOutcome outcome;
  outcome.kind = Kind::kFailForGood;
  outcome.error = std::move(error);
  return outcome;
}

RunOutcome RunOutcome::Release() {
  RunOutcome outcome;
  outcome.kind = Kind::kRelease;
  return outcome;
}

class Worker::Impl {
 public:
  Impl(WorkerOptions options, Handler handler, std::shared_ptr<grpc::Channel> channel)
      : options_(std::move(options)),
        handler_(std::move(handler)),
        channel_(std::move(channel)),
        stub_(v1::QueueService::NewStub(channel_)),
        backoff_(options_.client.retry, RandomSeed()) {
    for (uint32_t i = 0; i < options_.slots; ++i) {
      handlers_.emplace_back([this] { RunHandlers(); });
    }
    thread_ = std::thread([this] { Run(); });
  }

  void Drain(bool cancel);
  void Stop();
  absl::Status Wait(absl::Duration timeout);
  WorkerStats stats() const {
    MutexLock lock(&mu_);
    WorkerStats stats = stats_;
    stats.running = running_;
    return stats;
  }

 private:
  // One lease that this worker holds, until its outcome is settled.
  struct Lease {
    enum class Phase { kQueued, kRunning, kDone };
    std::shared_ptr<TaskRunState> run;
    Phase phase = Phase::kQueued;
    RunOutcome outcome;         // kDone
    absl::Duration run_time;    // kDone
    bool started_sent = false;  // on this stream
    bool outcome_sent = false;  // on this stream
    int64_t due_ms = 0;         // of the outcome's next send
  };
  using Leases = std::map<LeaseKey, Lease>;

  void RunHandlers();

  // The rest on thread_.
  void Run();
  void Connect(int64_t now);
  void HandleStream(int64_t now);
  void HandleWelcome(const v1::WorkWelcome& welcome, int64_t now);
  void HandleAssign(const v1::WorkAssign& assign);
  void HandleAck(const v1::WorkAck& ack, int64_t now);
  void HandleEnd(const absl::Status& status, int64_t now);
  void CancelRuns(const google::protobuf::RepeatedPtrField<v1::LeaseRef>& refs, bool lost);
  void Settle(Leases::iterator lease, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TellFinished();
  bool WriteNext(int64_t now);
  bool NextRequestLocked(int64_t now, v1::WorkRequest* request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool AddStartedLocked(v1::WorkRequest* request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool AddOutcomesLocked(v1::LeaseOperation operation, int64_t now, v1::WorkRequest* request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool AddRequests(v1::WorkRequest* request);
  void ReleaseQueuedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  int64_t WaitMs(int64_t now);
  // True when there is nothing left to do here.
  bool Over(int64_t now);

  const WorkerOptions options_;
  const Handler handler_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::QueueService::Stub> stub_;
  const std::shared_ptr<Requests> requests_ = std::make_shared<Requests>();
  Wakeup& wakeup_ = *requests_->wakeup;

  mutable Mutex mu_;
  CondVar runnable_changed_;
  CondVar over_changed_;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;  // handlers have returned; thread_ ends soon
  bool over_ ABSL_GUARDED_BY(mu_) = false;
  int64_t stop_by_ms_ ABSL_GUARDED_BY(mu_) = INT64_MAX;
  Leases leases_ ABSL_GUARDED_BY(mu_);
  std::deque<LeaseKey> runnable_ ABSL_GUARDED_BY(mu_);
  uint32_t running_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<FinishedRun> finished_ ABSL_GUARDED_BY(mu_);
  absl::Status fatal_ ABSL_GUARDED_BY(mu_);
  WorkerStats stats_ ABSL_GUARDED_BY(mu_);

  // thread_ only.
  Backoff backoff_;
  std::shared_ptr<WorkCall> stream_;
  bool welcome_ = false;
  bool dead_ = false;  // fatal_ is set
  bool drain_sent_ = false;
  bool closed_ = false;  // WritesDone on this stream
  std::string session_id_;
  int64_t connect_at_ms_ = 0;
  int64_t hello_by_ms_ = 0;
  int64_t welcome_ms_ = 0;
  int64_t last_write_ms_ = 0;
  int64_t heartbeat_ms_ = kHeartbeatMsMax;

  std::vector<std::thread> handlers_;
  std::thread thread_;
};

void Worker::Impl::RunHandlers() {
  MutexLock lock(&mu_);
  while (true) {
    while (runnable_.empty() && !draining_) runnable_changed_.Wait(&mu_);
    if (runnable_.empty()) return;
    const LeaseKey key = std::move(runnable_.front());
    runnable_.pop_front();
    const auto found = leases_.find(key);
    if (found == leases_.end()) continue;
    found->second.phase = Lease::Phase::kRunning;
    const std::shared_ptr<TaskRunState> run = found->second.run;
    ++running_;
    ++stats_.started;
    mu_.Unlock();
    wakeup_.Signal();
    TaskRun task(run);
    const int64_t began = ClientClock().MonotonicNanos();
    RunOutcome outcome = handler_(task);
    const int64_t took = ClientClock().MonotonicNanos() - began;
    mu_.Lock();
    --running_;
    const auto lease = leases_.find(key);
    if (lease != leases_.end()) {
      lease->second.phase = Lease::Phase::kDone;
      lease->second.outcome = std::move(outcome);
      // The wire takes text only: what else a handler put there must not end the stream.
      std::string& error = lease->second.outcome.error;
      if (error.size() > kErrorBytesMax || !IsValidUtf8(error)) {
        error = ToValidUtf8(error, kErrorBytesMax);
      }
      std::string& type = lease->second.outcome.result_content_type;
      if (!IsValidUtf8(type)) type = ToValidUtf8(type, type.size());
      lease->second.run_time = absl::Nanoseconds(took);
    }
    wakeup_.Signal();
  }
}

void Worker::Impl::Run() {
  while (true) {
    const int64_t now = NowMs();
    HandleStream(now);
    TellFinished();
    if (Over(now)) break;
    if (stream_ == nullptr && !dead_ && now >= connect_at_ms_) Connect(now);
    const bool wrote = stream_ != nullptr && stream_->CanWrite() && WriteNext(now);
    if (!wrote) wakeup_.Wait(absl::Milliseconds(WaitMs(NowMs())));
  }
  if (stream_ != nullptr) {
    stream_->Cancel();
    while (!stream_->ended()) wakeup_.Wait(absl::Seconds(1));
  }
  {
    MutexLock lock(&mu_);
    while (!leases_.empty()) {
      Settle(leases_.begin(),
             fatal_.ok() ? absl::CancelledError("the worker ended before an answer came") : fatal_);
    }
  }
  TellFinished();
  MutexLock lock(&mu_);
  over_ = true;
  stats_.connected = false;
  over_changed_.SignalAll();
}

bool Worker::Impl::Over(int64_t now) {
  MutexLock lock(&mu_);
  if (!fatal_.ok()) {
    // What runs is told; its outcomes have nowhere to go.
    draining_ = true;
    for (auto& [key, lease] : leases_) lease.run->Cancel(true);
    runnable_.clear();
    runnable_changed_.SignalAll();
    return running_ == 0;
  }
  if (stopping_ && now >= stop_by_ms_) return true;
  return draining_ && leases_.empty() && running_ == 0 && stream_ == nullptr;
}

int64_t Worker::Impl::WaitMs(int64_t now) {
  int64_t until = now + kHeartbeatMsMax;
  if (stream_ == nullptr) {
    if (!dead_) until = connect_at_ms_;
  } else if (!welcome_) {
    until = hello_by_ms_;
  } else if (stream_->CanWrite()) {
    until = last_write_ms_ + heartbeat_ms_;
  }
  MutexLock lock(&mu_);
  for (const auto& [key, lease] : leases_) {
    if (lease.phase == Lease::Phase::kDone && !lease.outcome_sent && welcome_ &&
        lease.due_ms > now) {
      until = std::min(until, lease.due_ms);
    }
  }
  if (stopping_) until = std::min(until, stop_by_ms_);
  return std::max<int64_t>(until - now, 0);
}

void Worker::Impl::Connect(int64_t now) {
  welcome_ = false;
  drain_sent_ = false;
  closed_ = false;
  hello_by_ms_ = now + kHelloTimeoutMs;
  stream_ = WorkCall::Start([this](grpc::ClientContext* context,
                                   auto* reactor) { stub_->async()->Work(context, reactor); },
                            requests_->wakeup);
  v1::WorkRequest request;
  v1::WorkHello* hello = request.mutable_hello();
  hello->set_worker_id(options_.worker_id);
  hello->set_session_id(session_id_);
  for (const WorkerOptions::Queue& queue : options_.queues) {
    v1::WorkQueue* added = hello->add_queues();
    added->set_name(queue.name);
    added->set_weight(queue.weight);
  }
  {
    MutexLock lock(&mu_);
    for (auto& [key, lease] : leases_) {
      v1::LeaseRef* held = hello->add_held();
      held->set_task_id(key.first);
      held->set_token(key.second);
      lease.started_sent = false;
      lease.outcome_sent = false;
    }
    hello->mutable_credit()->set_slots(draining_ ? 0 : options_.slots);
  }
  hello->mutable_credit()->set_bytes(options_.payload_bytes_max);
  stream_->Write(std::move(request));
  last_write_ms_ = now;
}

void Worker::Impl::HandleStream(int64_t now) {
  if (stream_ == nullptr) return;
  const std::optional<absl::Status> end = stream_->ended();
  for (const v1::WorkResponse& response : stream_->Take()) {
    switch (response.message_case()) {
      case v1::WorkResponse::kWelcome:
        HandleWelcome(response.welcome(), now);
        break;
      case v1::WorkResponse::kAssign:
        HandleAssign(response.assign());
        break;
      case v1::WorkResponse::kAck:
        HandleAck(response.ack(), now);
        break;
      case v1::WorkResponse::kCancelNotice:
        CancelRuns(response.cancel_notice().leases(), false);
        break;
      case v1::WorkResponse::kLeaseLost:
        CancelRuns(response.lease_lost().leases(), true);
        break;
      case v1::WorkResponse::kPing:
        // Answered by a heartbeat at once.
        last_write_ms_ = now - heartbeat_ms_;
        break;
      default:
        // GoAway: the stream's end follows.
        break;
    }
  }
  if (end.has_value()) {
    HandleEnd(*end, now);
  } else if (!welcome_ && now >= hello_by_ms_) {
    stream_->Cancel();
    hello_by_ms_ = now + kHelloTimeoutMs;
  }
}

void Worker::Impl::HandleWelcome(const v1::WorkWelcome& welcome, int64_t now) {
  welcome_ = true;
  welcome_ms_ = now;
  session_id_ = welcome.session_id();
  CancelRuns(welcome.lost(), true);
  MutexLock lock(&mu_);
  stats_.connected = true;
}

void Worker::Impl::CancelRuns(const google::protobuf::RepeatedPtrField<v1::LeaseRef>& refs,
                              bool lost) {
  MutexLock lock(&mu_);
  for (const v1::LeaseRef& ref : refs) {
    const auto found = leases_.find({ref.task_id(), ref.token()});
    if (found == leases_.end()) continue;
    Lease& lease = found->second;
    lease.run->Cancel(lost);
    if (lost) ++stats_.lost;
    if (lost && lease.phase == Lease::Phase::kQueued) {
      // Never started: nothing to tell anybody.
      runnable_.erase(std::remove(runnable_.begin(), runnable_.end(), found->first),
                      runnable_.end());
      leases_.erase(found);
    }
  }
}

void Worker::Impl::HandleAssign(const v1::WorkAssign& assign) {
  MutexLock lock(&mu_);
  backoff_.Reset();
  for (const v1::Assignment& assignment : assign.assignments()) {
    const v1::Task& task = assignment.task();
    auto run = std::make_shared<TaskRunState>();
    run->id = task.id();
    run->queue = task.queue();
    run->payload = task.payload();
    run->content_type = task.content_type();
    run->attributes = {task.attributes().begin(), task.attributes().end()};
    run->attempt = assignment.attempt();
    run->token = assignment.token();
    run->lease_ttl_ms = assignment.lease_ttl_ms();
    run->requests = requests_;
    if (run->lease_ttl_ms > 0) {
      heartbeat_ms_ = std::min(heartbeat_ms_, std::max<int64_t>(run->lease_ttl_ms / 3, 100));
    }
    const LeaseKey key = run->key();
    Lease lease;
    lease.run = std::move(run);
    if (!leases_.try_emplace(key, std::move(lease)).second) continue;
    runnable_.push_back(key);
    runnable_changed_.Signal();
  }
  if (draining_) ReleaseQueuedLocked();
}

void Worker::Impl::HandleAck(const v1::WorkAck& ack, int64_t now) {
  MutexLock lock(&mu_);
  backoff_.Reset();
  for (const v1::LeaseResult& result : ack.results()) {
    const auto found = leases_.find({result.task_id(), result.token()});
    if (found == leases_.end()) continue;
    Lease& lease = found->second;
    // Extensions are answered too, and a run may have gone on since.
    if (lease.phase != Lease::Phase::kDone || !lease.outcome_sent ||
        result.operation() != OperationOf(lease.outcome.kind)) {
      continue;
    }
    const absl::Status status = FromItemStatus(result.status());
    if (status.ok() || !IsRetryable(status)) {
      if (lease.outcome.kind == Kind::kComplete && ErrorReason(status) == "PAYLOAD_TOO_LARGE") {
        lease.outcome = RunOutcome::FailForGood(
            absl::StrCat("result of ", lease.outcome.result.size(), " bytes: ", status.message()));
        lease.outcome_sent = false;
        continue;
      }
      Settle(found, status);
      continue;
    }
    lease.outcome_sent = false;
    lease.due_ms = now + backoff_.NextMs(status);
  }
}

void Worker::Impl::Settle(Leases::iterator found, const absl::Status& status) {
  Lease& lease = found->second;
  if (lease.phase == Lease::Phase::kDone) {
    if (status.ok()) {
      switch (lease.outcome.kind) {
        case Kind::kComplete:
          ++stats_.completed;
          break;
        case Kind::kRelease:
          ++stats_.released;
          break;
        case Kind::kFail:
        case Kind::kFailForGood:
          ++stats_.failed;
          break;
      }
    }
    if (options_.on_finished && lease.run_time > absl::ZeroDuration()) {
      FinishedRun finished;
      finished.task_id = lease.run->id;
      finished.queue = lease.run->queue;
      finished.attempt = lease.run->attempt;
      finished.token = lease.run->token;
      finished.kind = lease.outcome.kind;
      finished.status = status;
      finished.run_time = lease.run_time;
      finished_.push_back(std::move(finished));
    }
  }
  leases_.erase(found);
}

void Worker::Impl::TellFinished() {
  if (!options_.on_finished) return;
  std::vector<FinishedRun> finished;
  {
    MutexLock lock(&mu_);
    finished.swap(finished_);
  }
  for (const FinishedRun& run : finished) options_.on_finished(run);
}

void Worker::Impl::HandleEnd(const absl::Status& status, int64_t now) {
  stream_.reset();
  if (welcome_ && now - welcome_ms_ > kSteadyMs) backoff_.Reset();
  welcome_ = false;
  const absl::Status error =
      status.ok() ? absl::UnavailableError("the server ended the stream") : status;
  connect_at_ms_ = now + backoff_.NextMs(error);
  MutexLock lock(&mu_);
  stats_.connected = false;
  if (draining_ && leases_.empty()) return;
  ++stats_.reconnects;
  dead_ = IsFatal(status);
  if (dead_) fatal_ = error;
}

bool Worker::Impl::WriteNext(int64_t now) {
  if (!welcome_ || closed_) return false;
  v1::WorkRequest request;
  bool close = false;
  {
    MutexLock lock(&mu_);
    if (!NextRequestLocked(now, &request)) {
      close = drain_sent_ && leases_.empty() && running_ == 0;
      if (!close && now < last_write_ms_ + heartbeat_ms_) return false;
      if (!close) request.mutable_heartbeat();
    }
  }
  if (close) {
    closed_ = true;
    stream_->WritesDone();
    return false;
  }
  if (request.has_drain()) drain_sent_ = true;
  stream_->Write(std::move(request));
  last_write_ms_ = now;
  return true;
}

bool Worker::Impl::NextRequestLocked(int64_t now, v1::WorkRequest* request) {
  if (AddStartedLocked(request)) return true;
  // Before the releases, or what is given back would come again.
  if (draining_ && !drain_sent_) {
    request->mutable_drain();
    return true;
  }
  return AddOutcomesLocked(v1::LEASE_OPERATION_COMPLETE, now, request) ||
         AddOutcomesLocked(v1::LEASE_OPERATION_FAIL, now, request) ||
         AddOutcomesLocked(v1::LEASE_OPERATION_RELEASE, now, request) || AddRequests(request);
}

bool Worker::Impl::AddStartedLocked(v1::WorkRequest* request) {
  for (auto& [key, lease] : leases_) {
    if (lease.phase == Lease::Phase::kQueued || lease.started_sent) continue;
    lease.started_sent = true;
    // Done already: its outcome says so.
    if (lease.phase == Lease::Phase::kDone) continue;
    v1::LeaseRef* ref = request->mutable_started()->add_leases();
    ref->set_task_id(key.first);
    ref->set_token(key.second);
  }
  return request->has_started();
}

bool Worker::Impl::AddOutcomesLocked(v1::LeaseOperation operation, int64_t now,
                                     v1::WorkRequest* request) {
  int items = 0;
  size_t bytes = 0;
  for (auto it = leases_.begin(); it != leases_.end();) {
    const auto found = it++;
    Lease& lease = found->second;
    if (lease.phase != Lease::Phase::kDone || lease.outcome_sent || lease.due_ms > now ||
        OperationOf(lease.outcome.kind) != operation) {
      continue;
    }
    const RunOutcome& outcome = lease.outcome;
    const size_t size = outcome.result.size() + outcome.error.size();
    if (items > 0 && (items >= kItemsPerWriteMax || bytes + size > kBytesPerWriteMax)) break;
    ++items;
    bytes += size;
    lease.outcome_sent = true;
    const LeaseKey& key = found->first;
    if (operation == v1::LEASE_OPERATION_COMPLETE) {
      v1::Completion* completion = request->mutable_complete()->add_completions();
      completion->set_task_id(key.first);
      completion->set_token(key.second);
      completion->set_result(outcome.result);
      completion->set_result_content_type(outcome.result_content_type);
    } else if (operation == v1::LEASE_OPERATION_FAIL) {
      v1::Failure* failure = request->mutable_fail()->add_failures();
      failure->set_task_id(key.first);
      failure->set_token(key.second);
      failure->set_error(outcome.error);
      failure->set_not_retryable(outcome.kind == Kind::kFailForGood);
      failure->set_retry_after_ms(absl::ToInt64Milliseconds(outcome.retry_after));
    } else {
      v1::LeaseRef* ref = request->mutable_release()->add_leases();
      ref->set_task_id(key.first);
      ref->set_token(key.second);
    }
  }
  return items > 0;
}

bool Worker::Impl::AddRequests(v1::WorkRequest* request) {
  MutexLock lock(&requests_->mu);
  if (!requests_->extensions.empty()) {
    for (const auto& [key, ttl] : requests_->extensions) {
      v1::Extension* extension = request->mutable_extend()->add_extensions();
      extension->set_task_id(key.first);
      extension->set_token(key.second);
      extension->set_ttl_ms(absl::ToInt64Milliseconds(ttl));
    }
    requests_->extensions.clear();
    return true;
  }
  if (requests_->progress.empty()) return false;
  const auto first = requests_->progress.begin();
  v1::WorkProgress* progress = request->mutable_progress();
  progress->mutable_lease()->set_task_id(first->first.first);
  progress->mutable_lease()->set_token(first->first.second);
  progress->set_percent(first->second.first);
  progress->set_note(first->second.second);
  requests_->progress.erase(first);
  return true;
}

void Worker::Impl::ReleaseQueuedLocked() {
  for (auto& [key, lease] : leases_) {
    if (lease.phase != Lease::Phase::kQueued) continue;
    lease.phase = Lease::Phase::kDone;
    lease.outcome = RunOutcome::Release();
  }
  runnable_.clear();
}

void Worker::Impl::Drain(bool cancel) {
  {
    MutexLock lock(&mu_);
    draining_ = true;
    ReleaseQueuedLocked();
    if (cancel) {
      for (auto& [key, lease] : leases_) lease.run->Cancel(false);
    }
    runnable_changed_.SignalAll();
  }
  wakeup_.Signal();
}

void Worker::Impl::Stop() {
  Drain(true);
  for (std::thread& handler : handlers_) handler.join();
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    // Without a connection there is little hope, and the leases run out by themselves.
    stop_by_ms_ = NowMs() + (stats_.connected ? kGoodbyeMs : kGoodbyeMs / 10);
  }
  wakeup_.Signal();
  thread_.join();
  stream_.reset();
  stub_.reset();
  ReleaseChannel(&channel_);
}

absl::Status Worker::Impl::Wait(absl::Duration timeout) {
  const int64_t until = NowMs() + absl::ToInt64Milliseconds(timeout);
  MutexLock lock(&mu_);
  while (!over_) {
    const int64_t left = until - NowMs();
    if (left <= 0) {
      return absl::DeadlineExceededError(
          absl::StrCat(running_, " tasks run, ", leases_.size(), " leases are held"));
    }
    over_changed_.WaitWithTimeout(&mu_, absl::Milliseconds(left));
  }
  return fatal_;
}

Worker::Worker(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Worker::~Worker() { impl_->Stop(); }

absl::StatusOr<std::unique_ptr<Worker>> Worker::Create(WorkerOptions options, Handler handler) {
  if (options.queues.empty()) return absl::InvalidArgumentError("a worker needs a queue");
  if (options.slots == 0) return absl::InvalidArgumentError("a worker needs at least one slot");
  if (options.worker_id.size() > 128 || !IsValidUtf8(options.worker_id)) {
    return absl::InvalidArgumentError("worker_id: at most 128 bytes of UTF-8");
  }
  if (options.worker_id.empty()) {
    options.worker_id = absl::StrCat(HostName().substr(0, 64), "/", getpid(), "/", RandomHex(4));
  }
  WHEELPIT_ASSIGN_OR_RETURN(auto channel, MakeChannel(options.client));
  return std::unique_ptr<Worker>(new Worker(
      std::make_shared<Impl>(std::move(options), std::move(handler), std::move(channel))));
}

void Worker::Drain() { impl_->Drain(false); }
void Worker::Cancel() { impl_->Drain(true); }
absl::Status Worker::Wait(absl::Duration timeout) { return impl_->Wait(timeout); }
WorkerStats Worker::stats() const { return impl_->stats(); }

}  // namespace wheelpit
