#include "tests/integration/kill9_clients.h"

#include <algorithm>
#include <deque>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "wheelpit/v1/queue.grpc.pb.h"
#include "wheelpit/v1/report.grpc.pb.h"

namespace wheelpit {
namespace {

constexpr int kBatchTasks = 24;
constexpr uint32_t kSlots = 96;
constexpr uint32_t kRefs = 4;
constexpr size_t kBatchesOpenMax = 8;
constexpr auto kCallTimeout = std::chrono::seconds(30);

using Random = std::mt19937_64;

// Fails the test unless the server was away, starting or leaving.
void CheckTransient(Kill9Run* run, const char* what, int code, const std::string& message) {
  switch (static_cast<grpc::StatusCode>(code)) {
    case grpc::StatusCode::OK:
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return;
    default:
      run->ledger.Violation(absl::StrCat(what, " ended with code ", code, ": ", message));
  }
}

void CheckTransient(Kill9Run* run, const char* what, const grpc::Status& status) {
  CheckTransient(run, what, status.error_code(), status.error_message());
}

void Prepare(grpc::ClientContext* context) {
  context->set_wait_for_ready(true);
  context->set_deadline(std::chrono::system_clock::now() + kCallTimeout);
}

}  // namespace

// --- boots ---

void Boots::Up(uint64_t epoch) {
  MutexLock lock(&mu_);
  epoch_ = epoch;
  changed_.SignalAll();
}

void Boots::Down() {
  MutexLock lock(&mu_);
  epoch_ = 0;
}

void Boots::End() {
  MutexLock lock(&mu_);
  ended_ = true;
  changed_.SignalAll();
}

uint64_t Boots::Await() {
  MutexLock lock(&mu_);
  while (epoch_ == 0 && !ended_) changed_.Wait(&mu_);
  return ended_ ? 0 : epoch_;
}

uint64_t Boots::current() const {
  MutexLock lock(&mu_);
  return epoch_;
}

std::shared_ptr<grpc::Channel> Kill9Channel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// --- submits ---

namespace {

v1::TaskSpec MakeTask(int lane, uint64_t number, Random* random) {
  v1::TaskSpec task;
  task.set_queue(kKill9Queue);
  task.set_idempotency_key(absl::StrCat("lane-", lane, "-", number));
  task.set_payload(std::string(16 + (*random)() % 200, static_cast<char>('a' + (*random)() % 26)));
  task.mutable_backoff()->set_initial_ms(20);
  task.mutable_backoff()->set_max_delay_ms(20);
  task.mutable_backoff()->set_multiplier(1);
  v1::CountedSeries* counted = task.add_counts();
  counted->set_name(kKill9Submits);
  v1::Label* label = counted->add_labels();
  label->set_name("lane");
  label->set_value(absl::StrCat(lane));
  return task;
}

// One call with what is still open of the batch; what was acknowledged leaves it.
void SubmitOnce(Kill9Run* run, v1::QueueService::Stub* stub, std::vector<v1::TaskSpec>* open, bool repeat) {
  v1::SubmitBatchRequest request;
  for (const v1::TaskSpec& task : *open) *request.add_tasks() = task;
  grpc::ClientContext context;
  Prepare(&context);
  v1::SubmitBatchResponse response;
  const grpc::Status status = stub->SubmitBatch(&context, request, &response);
  if (!status.ok()) return CheckTransient(run, "SubmitBatch", status);
  if (response.results_size() != request.tasks_size()) return run->ledger.Violation("SubmitBatch answered another number of tasks");
  std::vector<v1::TaskSpec> left;
  for (int i = 0; i < response.results_size(); ++i) {
    const v1::SubmitResult& result = response.results(i);
    const v1::TaskSpec& task = request.tasks(i);
    if (result.status().code() != 0) {
      CheckTransient(run, "a submit", result.status().code(), result.status().message());
      left.push_back(task);
      continue;
    }
    run->ledger.Submitted(task.idempotency_key(), result.id());
    if (repeat && !result.deduplicated()) {
      run->ledger.Violation(absl::StrCat("the repeat of acknowledged ", task.idempotency_key(), " was not recognised"));
    }
  }
  *open = std::move(left);
}

}  // namespace

void RunSubmitter(Kill9Run* run, int lane) {
  const auto stub = v1::QueueService::NewStub(Kill9Channel(run->address));
  Random random(run->seed * 1000 + static_cast<uint64_t>(lane));
  uint64_t number = 0;
  while (!run->stop.load(std::memory_order_relaxed)) {
    run->ledger.WaitForRoom(run->open_tasks_max);
    std::vector<v1::TaskSpec> batch;
    for (int i = 0; i < kBatchTasks; ++i) batch.push_back(MakeTask(lane, number++, &random));
    std::vector<v1::TaskSpec> open = batch;
    while (!open.empty() && run->boots.Await() != 0) SubmitOnce(run, stub.get(), &open, /*repeat=*/false);
    if (open.empty() && random() % 8 == 0) SubmitOnce(run, stub.get(), &batch, /*repeat=*/true);
  }
}

// --- completions ---

namespace {

void AddCompletion(const std::string& id, uint64_t token, v1::WorkComplete* complete) {
  v1::Completion* completion = complete->add_completions();
  completion->set_task_id(id);
  completion->set_token(token);
  completion->set_result(id);
}

}  // namespace

void Kill9Worker::Run() {
  while (const uint64_t epoch = run_->boots.Await()) {
    {
      MutexLock lock(&mu_);
      if (cancelled_) return;
    }
    OneStream(epoch);
  }
}

void Kill9Worker::Cancel() {
  MutexLock lock(&mu_);
  cancelled_ = true;
  if (context_ != nullptr) context_->TryCancel();
}

void Kill9Worker::OneStream(uint64_t epoch) {
  const auto stub = v1::QueueService::NewStub(Kill9Channel(run_->address));
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  {
    MutexLock lock(&mu_);
    if (cancelled_) return;
    context_ = &context;
  }
  const auto stream = stub->Work(&context);
  v1::WorkRequest request;
  v1::WorkHello* hello = request.mutable_hello();
  hello->set_worker_id(absl::StrCat("kill9-worker-", lane_));
  hello->set_session_id(session_);
  hello->add_queues()->set_name(kKill9Queue);
  hello->mutable_credit()->set_slots(kSlots);
  for (const auto& [token, id] : held_) {
    v1::LeaseRef* lease = hello->add_held();
    lease->set_task_id(id);
    lease->set_token(token);
  }
  stream->Write(request);
  v1::WorkResponse response;
  while (stream->Read(&response)) {
    request.Clear();
    if (response.has_welcome()) {
      // Only so is it certain which boot this stream belongs to.
      if (run_->boots.current() != epoch) break;
      session_ = response.welcome().session_id();
      // Also of leases that it calls lost: the completion may have been taken, and its acknowledgement lost.
      for (const auto& [token, id] : held_) AddCompletion(id, token, request.mutable_complete());
    } else if (response.has_assign()) {
      for (const v1::Assignment& assignment : response.assign().assignments()) {
        run_->ledger.Assigned(assignment.task().id(), assignment.token());
        held_.emplace(assignment.token(), assignment.task().id());
        AddCompletion(assignment.task().id(), assignment.token(), request.mutable_complete());
      }
    } else if (response.has_ack()) {
      for (const v1::LeaseResult& result : response.ack().results()) {
        if (result.status().code() == 0) {
          run_->ledger.Completed(result.task_id(), result.token(), epoch);
        } else if (result.status().reason() != "LEASE_LOST") {
          run_->ledger.Violation(absl::StrCat("completion of ", result.task_id(), ": ", result.status().reason(), ": ",
                                              result.status().message()));
        }
        held_.erase(result.token());
      }
    } else if (response.has_ping()) {
      request.mutable_heartbeat();
    }
    if (request.message_case() != v1::WorkRequest::MESSAGE_NOT_SET && !stream->Write(request)) break;
  }
  context.TryCancel();
  while (stream->Read(&response)) {
    // What came before the cut was promised to nobody; leases in it run out.
    for (const v1::Assignment& assignment : response.assign().assignments()) {
      run_->ledger.Assigned(assignment.task().id(), assignment.token());
      held_.emplace(assignment.token(), assignment.task().id());
    }
  }
  CheckTransient(run_, "Work", stream->Finish());
  MutexLock lock(&mu_);
  context_ = nullptr;
}

// --- reports ---

namespace {

void DefineSeries(uint32_t ref, const char* family, int lane, v1::Batch* batch) {
  v1::SeriesDef* series = batch->add_series();
  series->set_ref(ref);
  series->set_family(family);
  v1::Label* label = series->add_labels();
  label->set_name("lane");
  label->set_value(absl::StrCat(lane));
  label = series->add_labels();
  label->set_name("ref");
  label->set_value(absl::StrCat(ref));
}

// One reporter over all its streams and incarnations.
class StreamReporter {
 public:
  StreamReporter(Kill9Run* run, int lane) : run_(run), lane_(lane), random_(run->seed * 2000 + static_cast<uint64_t>(lane)) {}

  ReportSums Run() {
    while (run_->boots.Await() != 0 && (!Stopping() || !open_.empty())) {
      OneStream();
      if (++streams_ % 4 == 0 && open_.empty()) {
        ++incarnation_;
        acknowledged_ = next_ = 0;
      }
    }
    return sums_;
  }

 private:
  bool Stopping() const { return run_->stop.load(std::memory_order_relaxed); }

  v1::Batch MakeBatch() {
    v1::Batch batch;
    batch.set_seq(++next_);
    for (uint32_t ref = 1; ref <= kRefs; ++ref) {
      const uint64_t delta = random_() % 1000;
      batch.add_counter_refs(ref);
      batch.add_counter_values(delta);
      sums_.counts[absl::StrCat(ref)] += delta;
    }
    const double amount = static_cast<double>(random_() % 1000) / 4;
    batch.add_fraction_refs(kRefs + 1);
    batch.add_fraction_values(amount);
    sums_.amount += amount;
    return batch;
  }

  bool Send(grpc::ClientReaderWriter<v1::ReportRequest, v1::ReportResponse>* stream, const v1::Batch& batch, bool first) {
    v1::ReportRequest request;
    *request.mutable_batch() = batch;
    if (first) {
      for (uint32_t ref = 1; ref <= kRefs; ++ref) DefineSeries(ref, kKill9Reports, lane_, request.mutable_batch());
      DefineSeries(kRefs + 1, kKill9Amounts, lane_, request.mutable_batch());
    }
    return stream->Write(request);
  }

  void TakeHello(const v1::HelloAck& hello) {
    if (hello.applied_seq() < acknowledged_) {
      run_->ledger.Violation(absl::StrCat("reporter ", lane_, " was acknowledged ", acknowledged_, " batches, and ", hello.applied_seq(),
                                          " are left"));
    }
    uint64_t expected = 0;
    if (!run_->history_id.compare_exchange_strong(expected, hello.history_id()) && expected != hello.history_id()) {
      run_->ledger.Violation("the history changed");
    }
  }

  void TakeAck(const v1::Ack& ack) {
    for (const v1::Reject& reject : ack.rejects()) {
      run_->ledger.Violation(absl::StrCat("a sample was refused: ", reject.reason(), ": ", reject.message()));
    }
    if (ack.level() != v1::ACK_LEVEL_DURABLE) run_->ledger.Violation("an ack that is not durable");
    acknowledged_ = std::max(acknowledged_, ack.through_seq());
    while (!open_.empty() && open_.front().seq() <= acknowledged_) {
      open_.pop_front();
      run_->ledger.Reported();
    }
  }

  void OneStream() {
    const auto stub = v1::ReportService::NewStub(Kill9Channel(run_->address));
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    const auto stream = stub->ReportStream(&context);
    v1::ReportRequest request;
    v1::ReportResponse response;
    request.mutable_hello()->set_reporter_id(absl::StrCat("kill9-reporter-", lane_));
    request.mutable_hello()->set_incarnation(incarnation_);
    request.mutable_hello()->set_acked_through(acknowledged_);
    bool up = stream->Write(request) && stream->Read(&response) && response.has_hello_ack();
    if (up) TakeHello(response.hello_ack());
    // Everything unanswered again, applied or not.
    bool first = true;
    for (const v1::Batch& batch : open_) {
      up = up && Send(stream.get(), batch, std::exchange(first, false));
    }
    while (up) {
      while (up && !Stopping() && open_.size() < kBatchesOpenMax) {
        open_.push_back(MakeBatch());
        up = Send(stream.get(), open_.back(), std::exchange(first, false));
      }
      if (!up || open_.empty() || !stream->Read(&response)) break;
      if (response.has_ack()) TakeAck(response.ack());
    }
    context.TryCancel();
    while (stream->Read(&response)) {
      if (response.has_ack()) TakeAck(response.ack());
    }
    CheckTransient(run_, "ReportStream", stream->Finish());
  }

  Kill9Run* const run_;
  const int lane_;
  Random random_;
  uint64_t incarnation_ = 1;
  uint64_t acknowledged_ = 0;
  uint64_t next_ = 0;
  uint64_t streams_ = 0;
  std::deque<v1::Batch> open_;
  ReportSums sums_;
};

}  // namespace

ReportSums RunStreamReporter(Kill9Run* run, int lane) { return StreamReporter(run, lane).Run(); }

uint64_t RunUnaryReporter(Kill9Run* run, int lane) {
  const auto stub = v1::ReportService::NewStub(Kill9Channel(run->address));
  Random random(run->seed * 3000 + static_cast<uint64_t>(lane));
  uint64_t sum = 0;
  uint64_t seq = 0;
  while (!run->stop.load(std::memory_order_relaxed)) {
    v1::UnaryReportRequest request;
    request.mutable_hello()->set_reporter_id(absl::StrCat("kill9-unary-", lane));
    request.mutable_hello()->set_incarnation(7);
    request.mutable_hello()->set_acked_through(seq);
    v1::Batch* batch = request.mutable_batch();
    batch->set_seq(++seq);
    DefineSeries(1, kKill9Unary, lane, batch);
    const uint64_t delta = random() % 100;
    batch->add_counter_refs(1);
    batch->add_counter_values(delta);
    sum += delta;
    uint64_t sends = random() % 8 == 0 ? 2 : 1;
    while (sends > 0 && run->boots.Await() != 0) {
      grpc::ClientContext context;
      Prepare(&context);
      v1::UnaryReportResponse response;
      const grpc::Status status = stub->Report(&context, request, &response);
      CheckTransient(run, "Report", status);
      if (!status.ok()) continue;
      if (response.ack().through_seq() < seq) run->ledger.Violation("Report did not acknowledge its batch");
      --sends;
    }
    run->ledger.Reported();
  }
  return sum;
}

}  // namespace wheelpit
