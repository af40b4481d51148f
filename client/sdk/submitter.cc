#include "client/sdk/submitter.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "base/sync.h"
#include "client/sdk/channel.h"
#include "client/sdk/stream.h"
#include "client/sdk/task_codec.h"
#include "wheelpit/v1/queue.grpc.pb.h"

namespace wheelpit {
namespace {

constexpr absl::Duration kWaitSlice = absl::Seconds(30);
constexpr int64_t kNever = INT64_MAX;

struct Item {
  v1::TaskSpec spec;
  Submitter::Done done;
  size_t bytes = 0;
  int64_t deadline_ms = 0;
  int64_t due_ms = 0;  // of the next send
  int sends = 0;
  uint64_t generation = 0;  // submitted after this many calls of Flush
};
using ItemPtr = std::unique_ptr<Item>;

// One call on the wire. gRPC writes status and response, then the submitter's thread reads them.
struct Call {
  grpc::ClientContext context;
  v1::SubmitBatchRequest request;
  v1::SubmitBatchResponse response;
  v1::SubmitRequest single_request;
  v1::SubmitResponse single_response;
  bool single = false;
  std::vector<ItemPtr> items;
  absl::Status status;
};

absl::StatusOr<SubmitReceipt> ToReceipt(const v1::SubmitResult& result) {
  WHEELPIT_RETURN_IF_ERROR(FromItemStatus(result.status()));
  return SubmitReceipt{result.id(), result.deduplicated(), ToState(result.state())};
}

}  // namespace

class Submitter::Impl : public std::enable_shared_from_this<Submitter::Impl> {
 public:
  Impl(SubmitterOptions options, std::shared_ptr<grpc::Channel> channel)
      : options_(std::move(options)),
        channel_(std::move(channel)),
        stub_(v1::QueueService::NewStub(channel_)),
        key_prefix_(RandomHex(12)),
        backoff_(options_.client.retry, RandomSeed()) {}

  void Start() {
    thread_ = std::thread([this] { Run(); });
    thread_id_ = thread_.get_id();
  }
  void Stop();
  void Submit(NewTask task, Done done);
  absl::Status Flush(absl::Duration timeout);
  absl::StatusOr<TaskInfo> WaitTask(absl::string_view id, absl::Duration timeout);
  absl::StatusOr<TaskInfo> GetTask(absl::string_view id);
  SubmitterStats stats() const {
    MutexLock lock(&mu_);
    return stats_;
  }

 private:
  static int64_t NowMs() { return ClientClock().NowMs(); }
  bool FullLocked(size_t bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return stats_.submitted - stats_.settled >= options_.outstanding_max ||
           (outstanding_bytes_ > 0 && outstanding_bytes_ + bytes > options_.outstanding_bytes_max);
  }
  absl::Status AdmitLocked(size_t bytes, int64_t deadline_ms) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // The rest on thread_ only.
  void Run();
  int64_t QueueDue(int64_t now);
  void SendBatches(int64_t now);
  void Send(std::vector<ItemPtr> items, int64_t now);
  void Settle(Call& call);
  void Retry(ItemPtr item, const absl::Status& error, int64_t due_ms);
  void Finish(ItemPtr item, absl::StatusOr<SubmitReceipt> result);
  void Abandon();

  const SubmitterOptions options_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::QueueService::Stub> stub_;
  const std::string key_prefix_;
  std::atomic<uint64_t> next_key_{0};  // Relaxed: only has to differ.
  const std::shared_ptr<Wakeup> wakeup_ = std::make_shared<Wakeup>();
  std::thread thread_;
  std::thread::id thread_id_;

  mutable Mutex mu_;
  CondVar settled_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<ItemPtr> incoming_ ABSL_GUARDED_BY(mu_);
  std::vector<std::shared_ptr<Call>> finished_ ABSL_GUARDED_BY(mu_);
  size_t outstanding_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  // Unsettled tasks by generation: tasks settle out of order, so Flush cannot go by their number
  // alone.
  std::map<uint64_t, uint64_t> outstanding_ ABSL_GUARDED_BY(mu_);
  uint64_t generation_ ABSL_GUARDED_BY(mu_) = 0;
  SubmitterStats stats_ ABSL_GUARDED_BY(mu_);

  // thread_ only.
  Backoff backoff_;
  std::deque<ItemPtr> ready_;
  std::vector<ItemPtr> waiting_;  // for their due_ms
  std::vector<std::shared_ptr<Call>> in_flight_;
};

absl::Status Submitter::Impl::AdmitLocked(size_t bytes, int64_t deadline_ms) {
  const bool may_block = options_.block_when_full && std::this_thread::get_id() != thread_id_;
  while (!stopping_ && FullLocked(bytes)) {
    const int64_t left = deadline_ms - NowMs();
    if (!may_block || left <= 0) {
      return MakeError(absl::StatusCode::kResourceExhausted, "SUBMITTER_FULL",
                       absl::StrCat(stats_.submitted - stats_.settled, " tasks and ",
                                    outstanding_bytes_, " bytes are outstanding"));
    }
    settled_.WaitWithTimeout(&mu_, absl::Milliseconds(left));
  }
  if (stopping_) return absl::CancelledError("the submitter is being destroyed");
  return absl::OkStatus();
}

void Submitter::Impl::Submit(NewTask task, Done done) {
  // It would travel with others, which must not fail with it.
  if (absl::Status text = CheckText(task); !text.ok()) return done(text);
  auto item = std::make_unique<Item>();
  item->deadline_ms = NowMs() + absl::ToInt64Milliseconds(options_.deadline);
  if (task.idempotency_key.empty()) {
    task.idempotency_key =
        absl::StrCat(key_prefix_, "-", next_key_.fetch_add(1, std::memory_order_relaxed));
  }
  item->spec = ToTaskSpec(std::move(task));
  item->bytes = item->spec.ByteSizeLong();
  item->done = std::move(done);
  absl::Status admitted;
  {
    MutexLock lock(&mu_);
    admitted = AdmitLocked(item->bytes, item->deadline_ms);
    if (admitted.ok()) {
      ++stats_.submitted;
      outstanding_bytes_ += item->bytes;
      item->generation = generation_;
      ++outstanding_[generation_];
      incoming_.push_back(std::move(item));
    }
  }
  if (!admitted.ok()) {
    item->done(admitted);
    return;
  }
  wakeup_->Signal();
}

void Submitter::Impl::Run() {
  while (true) {
    std::vector<std::shared_ptr<Call>> finished;
    {
      MutexLock lock(&mu_);
      if (stopping_) break;
      finished.swap(finished_);
      while (!incoming_.empty()) {
        ready_.push_back(std::move(incoming_.front()));
        incoming_.pop_front();
      }
    }
    for (const auto& call : finished) {
      in_flight_.erase(std::find(in_flight_.begin(), in_flight_.end(), call));
    }
    const int64_t now = NowMs();
    const int64_t next_due = QueueDue(now);
    // Before the callbacks of what has ended, so that the wire never waits for them.
    SendBatches(now);
    for (const auto& call : finished) Settle(*call);
    if (finished.empty()) {
      wakeup_->Wait(next_due == kNever ? absl::Hours(1)
                                       : absl::Milliseconds(std::max<int64_t>(next_due - now, 0)));
    }
  }
  Abandon();
}

int64_t Submitter::Impl::QueueDue(int64_t now) {
  int64_t next_due = kNever;
  std::vector<ItemPtr> later;
  for (ItemPtr& item : waiting_) {
    if (item->due_ms <= now) {
      ready_.push_back(std::move(item));
    } else {
      next_due = std::min(next_due, item->due_ms);
      later.push_back(std::move(item));
    }
  }
  waiting_ = std::move(later);
  return next_due;
}

void Submitter::Impl::SendBatches(int64_t now) {
  while (in_flight_.size() < options_.batches_in_flight_max && !ready_.empty()) {
    std::vector<ItemPtr> batch;
    size_t bytes = 0;
    while (!ready_.empty() && batch.size() < options_.batch_tasks_max &&
           (batch.empty() || bytes + ready_.front()->bytes <= options_.batch_bytes_max)) {
      bytes += ready_.front()->bytes;
      batch.push_back(std::move(ready_.front()));
      ready_.pop_front();
    }
    Send(std::move(batch), now);
  }
}

void Submitter::Impl::Send(std::vector<ItemPtr> items, int64_t now) {
  auto call = std::make_shared<Call>();
  int64_t left_ms = 1;
  uint64_t retries = 0;
  for (ItemPtr& item : items) {
    left_ms = std::max(left_ms, item->deadline_ms - now);
    if (item->sends++ > 0) ++retries;
  }
  SetDeadline(&call->context, std::min(options_.client.call_timeout, absl::Milliseconds(left_ms)));
  call->single = items.size() == 1 && items[0]->bytes > options_.batch_bytes_max;
  // The messages are lent to the request and taken back in Settle, so that payloads are never
  // copied.
  if (call->single) {
    call->single_request.unsafe_arena_set_allocated_task(&items[0]->spec);
  } else {
    for (ItemPtr& item : items) {
      call->request.mutable_tasks()->UnsafeArenaAddAllocated(&item->spec);
    }
  }
  call->items = std::move(items);
  in_flight_.push_back(call);
  {
    MutexLock lock(&mu_);
    ++stats_.batches;
    stats_.retries += retries;
  }
  auto done = [self = shared_from_this(), call](const grpc::Status& status) {
    call->status = FromGrpcStatus(status);
    {
      MutexLock lock(&self->mu_);
      self->finished_.push_back(call);
    }
    self->wakeup_->Signal();
  };
  if (call->single) {
    stub_->async()->Submit(&call->context, &call->single_request, &call->single_response,
                           std::move(done));
  } else {
    stub_->async()->SubmitBatch(&call->context, &call->request, &call->response, std::move(done));
  }
}

void Submitter::Impl::Settle(Call& call) {
  if (call.single) {
    call.single_request.unsafe_arena_release_task();
    v1::SubmitResult* result = call.response.add_results();
    result->set_id(call.single_response.id());
    result->set_deduplicated(call.single_response.deduplicated());
    result->set_state(call.single_response.state());
  } else {
    while (!call.request.tasks().empty()) {
      call.request.mutable_tasks()->UnsafeArenaReleaseLast();
    }
  }
  if (call.status.ok() && call.response.results_size() != static_cast<int>(call.items.size())) {
    call.status =
        absl::InternalError(absl::StrCat("the server answered ", call.response.results_size(),
                                         " results for ", call.items.size(), " tasks"));
  }
  const int64_t now = NowMs();
  // What failed together is retried together.
  std::optional<int64_t> common_due;
  for (size_t i = 0; i < call.items.size(); ++i) {
    ItemPtr item = std::move(call.items[i]);
    absl::StatusOr<SubmitReceipt> result =
        call.status.ok() ? ToReceipt(call.response.results(static_cast<int>(i)))
                         : absl::StatusOr<SubmitReceipt>(call.status);
    if (result.ok() || !IsRetryable(result.status())) {
      Finish(std::move(item), std::move(result));
      continue;
    }
    const int64_t asked = absl::ToInt64Milliseconds(ErrorRetryAfter(result.status()));
    if (!common_due) common_due = now + backoff_.DelayMs(item->sends, result.status());
    Retry(std::move(item), result.status(), std::max(*common_due, now + asked));
  }
}

void Submitter::Impl::Retry(ItemPtr item, const absl::Status& error, int64_t due_ms) {
  if (due_ms >= item->deadline_ms) {
    absl::Status gave_up =
        MakeError(absl::StatusCode::kDeadlineExceeded, ErrorReason(error),
                  absl::StrCat("gave up after ", item->sends, " tries, the last of which said: ",
                               absl::StatusCodeToString(error.code()), ": ", error.message()));
    Finish(std::move(item), std::move(gave_up));
    return;
  }
  item->due_ms = due_ms;
  waiting_.push_back(std::move(item));
}

void Submitter::Impl::Finish(ItemPtr item, absl::StatusOr<SubmitReceipt> result) {
  {
    MutexLock lock(&mu_);
    if (!result.ok()) ++stats_.failed;
  }
  item->done(std::move(result));
  MutexLock lock(&mu_);
  ++stats_.settled;
  outstanding_bytes_ -= item->bytes;
  const auto generation = outstanding_.find(item->generation);
  if (--generation->second == 0) outstanding_.erase(generation);
  settled_.SignalAll();
}

void Submitter::Impl::Abandon() {
  for (const auto& call : in_flight_) call->context.TryCancel();
  while (!in_flight_.empty()) {
    std::vector<std::shared_ptr<Call>> finished;
    {
      MutexLock lock(&mu_);
      finished.swap(finished_);
    }
    for (const auto& call : finished) {
      in_flight_.erase(std::find(in_flight_.begin(), in_flight_.end(), call));
      Settle(*call);
    }
    if (!in_flight_.empty()) wakeup_->Wait(absl::Seconds(1));
  }
  {
    MutexLock lock(&mu_);
    for (ItemPtr& item : incoming_) ready_.push_back(std::move(item));
    incoming_.clear();
  }
  for (ItemPtr& item : waiting_) ready_.push_back(std::move(item));
  for (ItemPtr& item : ready_) {
    Finish(std::move(item), absl::CancelledError("the submitter was destroyed; outcome unknown"));
  }
}

void Submitter::Impl::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    settled_.SignalAll();
  }
  wakeup_->Signal();
  thread_.join();
  stub_.reset();
  ReleaseChannel(&channel_);
}

absl::Status Submitter::Impl::Flush(absl::Duration timeout) {
  const int64_t until = NowMs() + absl::ToInt64Milliseconds(timeout);
  MutexLock lock(&mu_);
  const uint64_t goal = generation_++;
  while (!outstanding_.empty() && outstanding_.begin()->first <= goal) {
    const int64_t left = until - NowMs();
    if (left <= 0) {
      return absl::DeadlineExceededError(
          absl::StrCat(stats_.submitted - stats_.settled, " tasks are not settled yet"));
    }
    settled_.WaitWithTimeout(&mu_, absl::Milliseconds(left));
  }
  return absl::OkStatus();
}

absl::StatusOr<TaskInfo> Submitter::Impl::GetTask(absl::string_view id) {
  v1::GetTaskRequest request;
  request.set_id(id.data(), id.size());
  request.set_with_result(true);
  v1::Task task;
  grpc::ClientContext context;
  SetDeadline(&context, options_.client.call_timeout);
  WHEELPIT_RETURN_IF_ERROR(FromGrpcStatus(stub_->GetTask(&context, request, &task)));
  return ToTaskInfo(task);
}

absl::StatusOr<TaskInfo> Submitter::Impl::WaitTask(absl::string_view id, absl::Duration timeout) {
  const int64_t until = NowMs() + absl::ToInt64Milliseconds(timeout);
  Backoff backoff(options_.client.retry, RandomSeed());
  Wakeup never;
  while (true) {
    const absl::Duration left = absl::Milliseconds(std::max<int64_t>(until - NowMs(), 0));
    const absl::Duration slice = std::min(left, kWaitSlice);
    v1::WaitTaskRequest request;
    request.set_id(id.data(), id.size());
    request.set_timeout_ms(absl::ToInt64Milliseconds(slice));
    request.set_with_result(true);
    v1::Task task;
    grpc::ClientContext context;
    SetDeadline(&context, slice + options_.client.call_timeout);
    const absl::Status status = FromGrpcStatus(stub_->WaitTask(&context, request, &task));
    if (status.ok()) {
      TaskInfo info = ToTaskInfo(task);
      if (info.terminal() || left <= slice) return info;
      backoff.Reset();
      continue;
    }
    const absl::Duration delay = absl::Milliseconds(backoff.NextMs(status));
    if (!IsRetryable(status) || delay >= left) return status;
    never.Wait(delay);
  }
}

Submitter::Submitter(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Submitter::~Submitter() { impl_->Stop(); }

absl::StatusOr<std::unique_ptr<Submitter>> Submitter::Create(SubmitterOptions options) {
  if (options.batches_in_flight_max == 0 || options.batch_tasks_max == 0 ||
      options.outstanding_max == 0) {
    return absl::InvalidArgumentError("submitter bounds must be positive");
  }
  WHEELPIT_ASSIGN_OR_RETURN(auto channel, MakeChannel(options.client));
  auto impl = std::make_shared<Impl>(std::move(options), std::move(channel));
  impl->Start();
  return std::unique_ptr<Submitter>(new Submitter(std::move(impl)));
}

void Submitter::Submit(NewTask task, Done done) { impl_->Submit(std::move(task), std::move(done)); }

std::future<absl::StatusOr<SubmitReceipt>> Submitter::SubmitAsync(NewTask task) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<SubmitReceipt>>>();
  auto future = promise->get_future();
  Submit(std::move(task), [promise](absl::StatusOr<SubmitReceipt> result) {
    promise->set_value(std::move(result));
  });
  return future;
}

absl::StatusOr<SubmitReceipt> Submitter::SubmitAndWait(NewTask task) {
  return SubmitAsync(std::move(task)).get();
}

absl::Status Submitter::Flush(absl::Duration timeout) { return impl_->Flush(timeout); }
absl::StatusOr<TaskInfo> Submitter::WaitTask(absl::string_view id, absl::Duration timeout) {
  return impl_->WaitTask(id, timeout);
}
absl::StatusOr<TaskInfo> Submitter::GetTask(absl::string_view id) { return impl_->GetTask(id); }
SubmitterStats Submitter::stats() const { return impl_->stats(); }

}  // namespace wheelpit
