#include "tests/support/fake_aggregator.h"

#include <algorithm>
#include <deque>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace wheelpit {
namespace {

using WorkStream = grpc::ServerReaderWriter<v1::WorkResponse, v1::WorkRequest>;
using ReportStreamRw = grpc::ServerReaderWriter<v1::ReportResponse, v1::ReportRequest>;

grpc::Status Error(grpc::StatusCode code, const std::string& reason, const std::string& message,
                   int retry_ms = 0) {
  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("wheelpit");
  details.add_details()->PackFrom(info);
  if (retry_ms > 0) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_nanos(retry_ms * 1'000'000);
    details.add_details()->PackFrom(retry);
  }
  return {code, message, details.SerializeAsString()};
}

void Set(v1::ItemStatus* status, grpc::StatusCode code, const std::string& reason) {
  status->set_code(code);
  status->set_reason(reason);
  status->set_message("refused by the test: " + reason);
}

bool Terminal(v1::TaskState state) { return state >= v1::TASK_STATE_SUCCEEDED; }

}  // namespace

struct FakeAggregator::State {
  struct Reporter {
    uint64_t applied = 0;
    std::map<uint64_t, std::string> contents;  // columns by seq
    ReportStreamRw* stream = nullptr;
  };
  struct Worker {
    WorkStream* stream = nullptr;  // null = its stream is gone
    uint32_t slots = 0;
    std::set<std::string> held;
    std::set<std::string> queues;
  };

  bool Roll(double chance) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    return chance > 0 && rng.Chance(chance);
  }
  void Violation(const std::string& text) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    broken += text + "\n";
  }

  Mutex mu;
  CondVar changed;
  bool stopping ABSL_GUARDED_BY(mu) = false;
  FakeFaults faults ABSL_GUARDED_BY(mu);
  Rng rng ABSL_GUARDED_BY(mu){1};
  std::string broken ABSL_GUARDED_BY(mu);

  // Reports.
  uint64_t history ABSL_GUARDED_BY(mu) = 1;
  uint32_t credit ABSL_GUARDED_BY(mu) = 8;
  bool hold_acks ABSL_GUARDED_BY(mu) = false;
  uint64_t hellos ABSL_GUARDED_BY(mu) = 0;
  bool drained ABSL_GUARDED_BY(mu) = false;
  std::set<std::string> refused_families ABSL_GUARDED_BY(mu);
  std::map<std::pair<std::string, uint64_t>, Reporter> reporters ABSL_GUARDED_BY(mu);
  std::map<std::string, double> totals ABSL_GUARDED_BY(mu);

  // Queue.
  bool hold_submits ABSL_GUARDED_BY(mu) = false;
  int refuse_submits ABSL_GUARDED_BY(mu) = 0;
  bool refuse_retryable ABSL_GUARDED_BY(mu) = false;
  size_t result_bytes_max ABSL_GUARDED_BY(mu) = 64 << 10;
  std::vector<int> batches ABSL_GUARDED_BY(mu);
  uint64_t duplicates ABSL_GUARDED_BY(mu) = 0;
  uint64_t next_id ABSL_GUARDED_BY(mu) = 1;
  uint64_t next_token ABSL_GUARDED_BY(mu) = 1;
  uint64_t next_session ABSL_GUARDED_BY(mu) = 1;
  uint64_t complete_messages ABSL_GUARDED_BY(mu) = 0;
  uint64_t completions ABSL_GUARDED_BY(mu) = 0;
  std::map<std::string, TaskRecord> tasks ABSL_GUARDED_BY(mu);
  std::map<std::string, std::string> keys ABSL_GUARDED_BY(mu);  // queue + key -> id
  std::deque<std::string> ready ABSL_GUARDED_BY(mu);
  std::map<std::string, Worker> workers ABSL_GUARDED_BY(mu);
};

class FakeAggregator::Reports : public v1::ReportService::Service {
 public:
  explicit Reports(State* s) : s_(*s) {}

  grpc::Status ReportStream(grpc::ServerContext*, ReportStreamRw* stream) override {
    const grpc::Status status = Serve(stream);
    MutexLock lock(&s_.mu);
    for (auto& [key, reporter] : s_.reporters) {
      if (reporter.stream == stream) reporter.stream = nullptr;
    }
    return status;
  }

 private:
  using HelloLabels = google::protobuf::RepeatedPtrField<v1::Label>;

  grpc::Status Serve(ReportStreamRw* stream) {
    v1::ReportRequest request;
    if (!stream->Read(&request) || !request.has_hello()) {
      return Error(grpc::StatusCode::FAILED_PRECONDITION, "NO_HELLO",
                   "first message must be Hello");
    }
    const auto key = std::pair(request.hello().reporter_id(), request.hello().incarnation());
    const auto labels = request.hello().labels();
    std::map<uint32_t, std::string> dictionary;
    {
      MutexLock lock(&s_.mu);
      ++s_.hellos;
      const auto newest = s_.reporters.lower_bound({key.first, UINT64_MAX});
      if (newest != s_.reporters.begin() && std::prev(newest)->first.first == key.first &&
          std::prev(newest)->first.second > key.second) {
        return Error(grpc::StatusCode::FAILED_PRECONDITION, "STALE_INCARNATION",
                     "incarnation is older");
      }
      State::Reporter& reporter = s_.reporters[key];
      reporter.applied = std::max(reporter.applied, request.hello().acked_through());
      reporter.stream = stream;
      v1::ReportResponse response;
      v1::HelloAck* ack = response.mutable_hello_ack();
      ack->set_history_id(s_.history);
      ack->set_applied_seq(reporter.applied);
      ack->set_credit(s_.credit);
      ack->set_durable(true);
      stream->Write(response);
      s_.changed.SignalAll();
    }
    while (stream->Read(&request)) {
      MutexLock lock(&s_.mu);
      State::Reporter& reporter = s_.reporters[key];
      if (reporter.stream != stream) {
        return Error(grpc::StatusCode::ABORTED, "SESSION_SUPERSEDED", "a newer stream exists");
      }
      if (request.has_goodbye()) {
        s_.drained = request.goodbye().drained();
        s_.changed.SignalAll();
      }
      if (!request.has_batch()) continue;
      if (s_.Roll(s_.faults.cut_before_apply)) return {grpc::StatusCode::UNAVAILABLE, "cut"};
      v1::ReportResponse response;
      const grpc::Status status =
          Apply(request.batch(), labels, &reporter, &dictionary, response.mutable_ack());
      if (!status.ok()) return status;
      s_.changed.SignalAll();
      if (s_.Roll(s_.faults.cut_after_apply)) return {grpc::StatusCode::UNAVAILABLE, "cut"};
      while (s_.hold_acks && !s_.stopping) s_.changed.Wait(&s_.mu);
      response.mutable_ack()->set_credit(s_.credit);
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  static std::string Name(const v1::SeriesDef& def, const HelloLabels& hello) {
    std::map<std::string, std::string> labels;
    for (const v1::Label& label : hello) labels[label.name()] = label.value();
    for (const v1::Label& label : def.labels()) labels[label.name()] = label.value();
    std::string name = def.family();
    if (labels.empty()) return name;
    const char* separator = "{";
    for (const auto& [label, value] : labels) {
      absl::StrAppend(&name, separator, label, "=\"", value, "\"");
      separator = ",";
    }
    return name + "}";
  }

  grpc::Status Apply(const v1::Batch& batch, const HelloLabels& labels, State::Reporter* reporter,
                     std::map<uint32_t, std::string>* dictionary, v1::Ack* ack)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(s_.mu) {
    ack->set_level(v1::ACK_LEVEL_DURABLE);
    ack->set_history_id(s_.history);
    v1::Batch columns = batch;
    columns.clear_age_ms();
    columns.clear_families();
    columns.clear_series();
    const std::string content = columns.SerializeAsString();
    if (batch.seq() <= reporter->applied) {
      // A repeat is recognised before anything in it is read.
      ack->set_through_seq(reporter->applied);
      const auto old = reporter->contents.find(batch.seq());
      if (old != reporter->contents.end() && old->second != content) {
        s_.Violation(absl::StrCat("batch ", batch.seq(), " was resent with other content"));
        return Error(grpc::StatusCode::DATA_LOSS, "BATCH_MISMATCH", "other content");
      }
      return grpc::Status::OK;
    }
    if (batch.seq() != reporter->applied + 1) {
      s_.Violation(absl::StrCat("expected seq ", reporter->applied + 1, ", got ", batch.seq()));
      return Error(grpc::StatusCode::OUT_OF_RANGE, "SEQ_GAP", "gap");
    }
    for (const v1::SeriesDef& def : batch.series()) {
      const std::string name = Name(def, labels);
      (*dictionary)[def.ref()] = name;
      if (!s_.refused_families.contains(def.family())) s_.totals.try_emplace(name, 0);
    }
    uint32_t index = 0;
    // The analysis does not see that the caller's lock is held in here.
    const auto sample =
        [&](uint32_t ref, const std::function<void(double&)>& apply)
            ABSL_NO_THREAD_SAFETY_ANALYSIS {
              const auto found = dictionary->find(ref);
              std::string reason;
              if (found == dictionary->end()) {
                s_.Violation(absl::StrCat("ref ", ref, " is not defined on this stream"));
                reason = "UNKNOWN_REF";
              } else if (s_.refused_families.contains(
                             found->second.substr(0, found->second.find('{')))) {
                reason = "TYPE_CONFLICT";
              } else {
                apply(s_.totals[found->second]);
              }
              if (!reason.empty()) {
                v1::Reject* reject = ack->add_rejects();
                reject->set_seq(batch.seq());
                reject->set_sample_index(index);
                reject->set_reason(reason);
                reject->set_message("refused");
              }
              ++index;
            };
    for (int i = 0; i < batch.counter_refs_size(); ++i) {
      const auto delta = static_cast<double>(batch.counter_values(i));
      sample(batch.counter_refs(i), [&](double& total) { total += delta; });
    }
    for (int i = 0; i < batch.fraction_refs_size(); ++i) {
      sample(batch.fraction_refs(i), [&](double& total) { total += batch.fraction_values(i); });
    }
    for (int i = 0; i < batch.gauge_refs_size(); ++i) {
      sample(batch.gauge_refs(i), [&](double& value) { value = batch.gauge_values(i); });
    }
    for (uint32_t ref : batch.gauge_removes()) s_.totals.erase((*dictionary)[ref]);
    reporter->applied = batch.seq();
    reporter->contents[batch.seq()] = content;
    ack->set_through_seq(batch.seq());
    return grpc::Status::OK;
  }

  State& s_;
};

class FakeAggregator::Queue : public v1::QueueService::Service {
 public:
  explicit Queue(State* s) : s_(*s) {}

  grpc::Status Submit(grpc::ServerContext*, const v1::SubmitRequest* request,
                      v1::SubmitResponse* response) override {
    v1::SubmitBatchResponse batch;
    google::protobuf::RepeatedPtrField<v1::TaskSpec> specs;
    *specs.Add() = request->task();
    const grpc::Status status = SubmitAll(specs, &batch);
    if (!status.ok()) return status;
    const v1::SubmitResult& result = batch.results(0);
    if (result.status().code() != 0) {
      return Error(static_cast<grpc::StatusCode>(result.status().code()), result.status().reason(),
                   result.status().message());
    }
    response->set_id(result.id());
    response->set_deduplicated(result.deduplicated());
    response->set_state(result.state());
    return status;
  }

  grpc::Status SubmitBatch(grpc::ServerContext*, const v1::SubmitBatchRequest* request,
                           v1::SubmitBatchResponse* response) override {
    size_t bytes = 0;
    for (const v1::TaskSpec& spec : request->tasks()) bytes += spec.payload().size();
    if (request->tasks_size() > 1000 || bytes > (4 << 20)) {
      return Error(grpc::StatusCode::INVALID_ARGUMENT, "BATCH_TOO_LARGE", "too large");
    }
    return SubmitAll(request->tasks(), response);
  }

  grpc::Status GetTask(grpc::ServerContext*, const v1::GetTaskRequest* request,
                       v1::Task* task) override {
    MutexLock lock(&s_.mu);
    const auto found = s_.tasks.find(request->id());
    if (found == s_.tasks.end()) {
      return Error(grpc::StatusCode::NOT_FOUND, "TASK", "no such task");
    }
    *task = found->second.task;
    return grpc::Status::OK;
  }

  grpc::Status WaitTask(grpc::ServerContext* context, const v1::WaitTaskRequest* request,
                        v1::Task* task) override {
    const SystemClock clock;
    const TimeMs until = clock.NowMs() + request->timeout_ms();
    MutexLock lock(&s_.mu);
    while (true) {
      const auto found = s_.tasks.find(request->id());
      if (found == s_.tasks.end()) {
        return Error(grpc::StatusCode::NOT_FOUND, "TASK", "no such task");
      }
      *task = found->second.task;
      const TimeMs left = until - clock.NowMs();
      if (Terminal(task->state()) || left <= 0) return grpc::Status::OK;
      if (s_.stopping || context->IsCancelled()) return {grpc::StatusCode::UNAVAILABLE, "stop"};
      s_.changed.WaitWithTimeout(&s_.mu, absl::Milliseconds(left));
    }
  }

  grpc::Status ListTasks(grpc::ServerContext*, const v1::ListTasksRequest* request,
                         v1::ListTasksResponse* response) override {
    MutexLock lock(&s_.mu);
    for (const auto& [id, record] : s_.tasks) {
      if (record.task.queue() == request->queue()) *response->add_tasks() = record.task;
    }
    return grpc::Status::OK;
  }

  grpc::Status CancelTask(grpc::ServerContext*, const v1::CancelTaskRequest* request,
                          v1::Task* task) override {
    MutexLock lock(&s_.mu);
    const auto found = s_.tasks.find(request->id());
    if (found == s_.tasks.end()) {
      return Error(grpc::StatusCode::NOT_FOUND, "TASK", "no such task");
    }
    v1::Task& stored = found->second.task;
    if (Terminal(stored.state()) && stored.state() != v1::TASK_STATE_CANCELLED) {
      return Error(grpc::StatusCode::FAILED_PRECONDITION, "ALREADY_TERMINAL", "it has ended");
    }
    stored.set_state(v1::TASK_STATE_CANCELLED);
    s_.changed.SignalAll();
    *task = stored;
    return grpc::Status::OK;
  }

  grpc::Status Work(grpc::ServerContext*, WorkStream* stream) override {
    v1::WorkRequest request;
    if (!stream->Read(&request) || !request.has_hello()) {
      return Error(grpc::StatusCode::INVALID_ARGUMENT, "BAD_FIELD", "first message must be Hello");
    }
    const std::string session = Open(request.hello(), stream);
    grpc::Status status;
    while (stream->Read(&request)) {
      MutexLock lock(&s_.mu);
      const bool outcome = request.has_complete() || request.has_fail();
      if (outcome && s_.Roll(s_.faults.cut_before_apply)) {
        status = {grpc::StatusCode::UNAVAILABLE, "cut"};
        break;
      }
      v1::WorkResponse response;
      Apply(request, session, response.mutable_ack());
      s_.changed.SignalAll();
      if (outcome && s_.Roll(s_.faults.cut_after_apply)) {
        status = {grpc::StatusCode::UNAVAILABLE, "cut"};
        break;
      }
      if (response.ack().results_size() > 0) stream->Write(response);
      Dispatch();
    }
    MutexLock lock(&s_.mu);
    State::Worker& worker = s_.workers[session];
    if (worker.stream == stream) worker.stream = nullptr;
    s_.changed.SignalAll();
    return status;
  }

  void Dispatch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(s_.mu) {
    for (auto& [session, worker] : s_.workers) {
      if (worker.stream == nullptr) continue;
      v1::WorkResponse response;
      for (auto it = s_.ready.begin(); it != s_.ready.end() && worker.held.size() < worker.slots;) {
        TaskRecord& record = s_.tasks[*it];
        if (record.task.state() != v1::TASK_STATE_READY) {
          it = s_.ready.erase(it);
          continue;
        }
        if (!worker.queues.contains(record.task.queue())) {
          ++it;
          continue;
        }
        record.task.set_state(v1::TASK_STATE_LEASED);
        record.task.set_attempts(record.task.attempts() + 1);
        record.token = s_.next_token++;
        worker.held.insert(*it);
        v1::Assignment* assignment = response.mutable_assign()->add_assignments();
        *assignment->mutable_task() = record.task;
        assignment->set_token(record.token);
        assignment->set_attempt(record.task.attempts());
        assignment->set_lease_ttl_ms(30'000);
        it = s_.ready.erase(it);
      }
      if (response.has_assign()) worker.stream->Write(response);
    }
  }

  void TakeLease(const std::string& id, bool lost) ABSL_EXCLUSIVE_LOCKS_REQUIRED(s_.mu) {
    TaskRecord& record = s_.tasks[id];
    for (auto& [session, worker] : s_.workers) {
      if (!worker.held.contains(id) || worker.stream == nullptr) continue;
      v1::WorkResponse response;
      v1::LeaseRef* ref = lost ? response.mutable_lease_lost()->add_leases()
                               : response.mutable_cancel_notice()->add_leases();
      ref->set_task_id(id);
      ref->set_token(record.token);
      if (lost) worker.held.erase(id);
      worker.stream->Write(response);
    }
    if (!lost) return;
    record.token = 0;
    record.task.set_state(v1::TASK_STATE_READY);
    s_.ready.push_back(id);
  }

 private:
  grpc::Status SubmitAll(const google::protobuf::RepeatedPtrField<v1::TaskSpec>& specs,
                         v1::SubmitBatchResponse* response) {
    MutexLock lock(&s_.mu);
    s_.batches.push_back(specs.size());
    s_.changed.SignalAll();
    while (s_.hold_submits && !s_.stopping) s_.changed.Wait(&s_.mu);
    if (s_.stopping || s_.Roll(s_.faults.cut_before_apply)) {
      return {grpc::StatusCode::UNAVAILABLE, "cut"};
    }
    for (const v1::TaskSpec& spec : specs) {
      v1::SubmitResult* result = response->add_results();
      if (s_.refuse_submits > 0) {
        --s_.refuse_submits;
        Set(result->mutable_status(), grpc::StatusCode::RESOURCE_EXHAUSTED, "QUEUE_FULL");
        if (s_.refuse_retryable) result->mutable_status()->set_retry_after_ms(1);
        continue;
      }
      if (spec.queue().empty()) {
        Set(result->mutable_status(), grpc::StatusCode::INVALID_ARGUMENT, "BAD_FIELD");
        continue;
      }
      if (spec.idempotency_key().empty()) s_.Violation("a submit without an idempotency key");
      std::string& id = s_.keys[spec.queue() + '\n' + spec.idempotency_key()];
      result->set_deduplicated(!id.empty());
      if (id.empty()) {
        id = absl::StrCat("t", s_.next_id++);
        v1::Task& task = s_.tasks[id].task;
        task.set_id(id);
        task.set_queue(spec.queue());
        task.set_payload(spec.payload());
        task.set_state(v1::TASK_STATE_READY);
        *task.mutable_attributes() = spec.attributes();
        s_.ready.push_back(id);
      } else {
        ++s_.duplicates;
      }
      result->set_id(id);
      result->set_state(s_.tasks[id].task.state());
    }
    Dispatch();
    s_.changed.SignalAll();
    if (s_.Roll(s_.faults.cut_after_apply)) return {grpc::StatusCode::UNAVAILABLE, "cut"};
    return grpc::Status::OK;
  }

  std::string Open(const v1::WorkHello& hello, WorkStream* stream) {
    MutexLock lock(&s_.mu);
    std::string session = hello.session_id();
    if (!s_.workers.contains(session)) session = absl::StrCat("s", s_.next_session++);
    State::Worker& worker = s_.workers[session];
    worker.stream = stream;
    worker.slots = hello.credit().slots();
    for (const v1::WorkQueue& queue : hello.queues()) worker.queues.insert(queue.name());
    v1::WorkResponse response;
    response.mutable_welcome()->set_session_id(session);
    std::set<std::string> held;
    for (const v1::LeaseRef& ref : hello.held()) {
      const auto task = s_.tasks.find(ref.task_id());
      if (task != s_.tasks.end() && task->second.token == ref.token() &&
          task->second.task.state() == v1::TASK_STATE_LEASED) {
        held.insert(ref.task_id());
      } else {
        *response.mutable_welcome()->add_lost() = ref;
      }
    }
    // What the session held and the worker does not know of: its assignment was lost on the way.
    for (const std::string& id : worker.held) {
      TaskRecord& record = s_.tasks[id];
      if (held.contains(id) || record.task.state() != v1::TASK_STATE_LEASED) continue;
      record.token = 0;
      record.task.set_state(v1::TASK_STATE_READY);
      s_.ready.push_back(id);
    }
    worker.held = std::move(held);
    stream->Write(response);
    Dispatch();
    s_.changed.SignalAll();
    return session;
  }

  // True if the token is current; then the lease is over.
  bool Use(const std::string& id, uint64_t token, const std::string& session,
           v1::TaskState repeat_state, v1::LeaseOperation operation, v1::WorkAck* ack)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(s_.mu) {
    v1::LeaseResult* result = ack->add_results();
    result->set_task_id(id);
    result->set_token(token);
    result->set_operation(operation);
    const auto found = s_.tasks.find(id);
    if (found == s_.tasks.end() || found->second.token != token) {
      Set(result->mutable_status(), grpc::StatusCode::FAILED_PRECONDITION, "LEASE_LOST");
      return false;
    }
    if (found->second.task.state() != v1::TASK_STATE_LEASED) {
      // A repeat of what was recorded.
      if (found->second.task.state() != repeat_state) {
        Set(result->mutable_status(), grpc::StatusCode::FAILED_PRECONDITION, "ALREADY_TERMINAL");
      }
      return false;
    }
    s_.workers[session].held.erase(id);
    return true;
  }

  void Apply(const v1::WorkRequest& request, const std::string& session, v1::WorkAck* ack)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(s_.mu) {
    if (request.has_complete()) ++s_.complete_messages;
    for (const v1::Completion& c : request.complete().completions()) {
      ++s_.completions;
      if (c.result().size() > s_.result_bytes_max) {
        v1::LeaseResult* result = ack->add_results();
        result->set_task_id(c.task_id());
        result->set_token(c.token());
        result->set_operation(v1::LEASE_OPERATION_COMPLETE);
        Set(result->mutable_status(), grpc::StatusCode::INVALID_ARGUMENT, "PAYLOAD_TOO_LARGE");
        continue;
      }
      if (!Use(c.task_id(), c.token(), session, v1::TASK_STATE_SUCCEEDED,
               v1::LEASE_OPERATION_COMPLETE, ack)) {
        continue;
      }
      TaskRecord& record = s_.tasks[c.task_id()];
      ++record.completions;
      record.task.set_state(v1::TASK_STATE_SUCCEEDED);
      record.task.set_result(c.result());
    }
    for (const v1::Failure& f : request.fail().failures()) {
      if (!Use(f.task_id(), f.token(), session, v1::TASK_STATE_DEAD, v1::LEASE_OPERATION_FAIL,
               ack)) {
        continue;
      }
      v1::Task& task = s_.tasks[f.task_id()].task;
      task.set_last_error(f.error());
      task.set_failures(task.failures() + 1);
      const bool dead = f.not_retryable() || task.failures() >= 5;
      task.set_state(dead ? v1::TASK_STATE_DEAD : v1::TASK_STATE_READY);
      if (dead) task.set_dead_reason(f.not_retryable() ? "not_retryable" : "max_attempts");
      if (!dead) s_.ready.push_back(f.task_id());
    }
    for (const v1::LeaseRef& ref : request.release().leases()) {
      if (!Use(ref.task_id(), ref.token(), session, v1::TASK_STATE_READY,
               v1::LEASE_OPERATION_RELEASE, ack)) {
        continue;
      }
      v1::Task& task = s_.tasks[ref.task_id()].task;
      task.set_releases(task.releases() + 1);
      task.set_state(v1::TASK_STATE_READY);
      s_.ready.push_back(ref.task_id());
    }
    if (request.has_drain()) s_.workers[session].slots = 0;
    if (request.has_credit()) s_.workers[session].slots = request.credit().slots();
  }

  State& s_;
};

// Knows one kind of query: the name of a series.
class FakeAggregator::Queries : public v1::QueryService::Service {
 public:
  explicit Queries(State* s) : s_(*s) {}
  grpc::Status Query(grpc::ServerContext*, const v1::QueryRequest* request,
                     v1::QueryResponse* response) override {
    MutexLock lock(&s_.mu);
    if (request->query().find('(') != std::string::npos) {
      return Error(grpc::StatusCode::INVALID_ARGUMENT, "BAD_QUERY", "only names are known here");
    }
    response->mutable_vector();
    response->set_evaluated_at_ms(1'700'000'000'000);
    for (const auto& [name, value] : s_.totals) {
      if (name.substr(0, name.find('{')) != request->query()) continue;
      v1::VectorElement* element = response->mutable_vector()->add_elements();
      v1::Label* label = element->add_labels();
      label->set_name("__name__");
      label->set_value(request->query());
      element->set_value(value);
    }
    return grpc::Status::OK;
  }

 private:
  State& s_;
};

class FakeAggregator::Admin : public v1::AdminService::Service {
 public:
  explicit Admin(State* s) : s_(*s) {}
  grpc::Status ListQueues(grpc::ServerContext*, const v1::ListQueuesRequest*,
                          v1::ListQueuesResponse* response) override {
    MutexLock lock(&s_.mu);
    std::map<std::string, v1::QueueInfo> queues;
    for (const auto& [id, record] : s_.tasks) {
      v1::QueueInfo& queue = queues[record.task.queue()];
      queue.set_name(record.task.queue());
      v1::QueueCounts* counts = queue.mutable_counts();
      if (record.task.state() == v1::TASK_STATE_READY) counts->set_ready(counts->ready() + 1);
      if (record.task.state() == v1::TASK_STATE_SUCCEEDED) {
        counts->set_succeeded(counts->succeeded() + 1);
      }
    }
    for (const auto& [name, queue] : queues) *response->add_queues() = queue;
    return grpc::Status::OK;
  }

 private:
  State& s_;
};

FakeAggregator::FakeAggregator()
    : state_(std::make_unique<State>()),
      reports_(std::make_unique<Reports>(state_.get())),
      queue_(std::make_unique<Queue>(state_.get())),
      queries_(std::make_unique<Queries>(state_.get())),
      admin_(std::make_unique<Admin>(state_.get())) {
  Start();
}

FakeAggregator::~FakeAggregator() { Stop(); }

std::string FakeAggregator::address() const { return absl::StrCat("127.0.0.1:", port_); }

void FakeAggregator::Start() {
  {
    MutexLock lock(&state_->mu);
    state_->stopping = false;
  }
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(absl::StrCat("127.0.0.1:", port_), grpc::InsecureServerCredentials(),
                           &port);
  builder.SetMaxReceiveMessageSize(18 << 20);
  builder.SetMaxSendMessageSize(18 << 20);
  builder.RegisterService(reports_.get());
  builder.RegisterService(queue_.get());
  builder.RegisterService(queries_.get());
  builder.RegisterService(admin_.get());
  server_ = builder.BuildAndStart();
  WHEELPIT_CHECK(server_ != nullptr, "port %d", port_);
  port_ = port;
}

void FakeAggregator::Stop() {
  if (server_ == nullptr) return;
  {
    MutexLock lock(&state_->mu);
    state_->stopping = true;
    state_->changed.SignalAll();
  }
  server_->Shutdown(gpr_now(GPR_CLOCK_REALTIME));
  server_->Wait();
  server_.reset();
}

void FakeAggregator::LoseState() {
  MutexLock lock(&state_->mu);
  ++state_->history;
  state_->reporters.clear();
  state_->totals.clear();
  state_->tasks.clear();
  state_->keys.clear();
  state_->ready.clear();
  state_->workers.clear();
}

void FakeAggregator::SetFaults(const FakeFaults& faults) {
  MutexLock lock(&state_->mu);
  state_->faults = faults;
  state_->rng = Rng(faults.seed);
}

void FakeAggregator::HoldSubmits(bool hold) {
  MutexLock lock(&state_->mu);
  state_->hold_submits = hold;
  state_->changed.SignalAll();
}

void FakeAggregator::RefuseSubmits(int n, bool retryable) {
  MutexLock lock(&state_->mu);
  state_->refuse_submits = n;
  state_->refuse_retryable = retryable;
}

void FakeAggregator::SetReportCredit(uint32_t credit) {
  MutexLock lock(&state_->mu);
  state_->credit = credit;
  for (auto& [key, reporter] : state_->reporters) {
    if (reporter.stream == nullptr || state_->hold_acks) continue;
    v1::ReportResponse response;
    response.mutable_ack()->set_through_seq(reporter.applied);
    response.mutable_ack()->set_level(v1::ACK_LEVEL_DURABLE);
    response.mutable_ack()->set_credit(credit);
    reporter.stream->Write(response);
  }
}

void FakeAggregator::HoldReportAcks(bool hold) {
  MutexLock lock(&state_->mu);
  state_->hold_acks = hold;
  state_->changed.SignalAll();
}

void FakeAggregator::RefuseFamily(const std::string& family) {
  MutexLock lock(&state_->mu);
  state_->refused_families.insert(family);
}

void FakeAggregator::LoseLease(const std::string& task_id) {
  MutexLock lock(&state_->mu);
  queue_->TakeLease(task_id, true);
  queue_->Dispatch();
}

void FakeAggregator::RequestCancel(const std::string& task_id) {
  MutexLock lock(&state_->mu);
  queue_->TakeLease(task_id, false);
}

void FakeAggregator::SetResultBytesMax(size_t bytes) {
  MutexLock lock(&state_->mu);
  state_->result_bytes_max = bytes;
}

std::map<std::string, double> FakeAggregator::totals() const {
  MutexLock lock(&state_->mu);
  return state_->totals;
}
uint64_t FakeAggregator::report_hellos() const {
  MutexLock lock(&state_->mu);
  return state_->hellos;
}
bool FakeAggregator::drained_goodbye() const {
  MutexLock lock(&state_->mu);
  return state_->drained;
}
std::vector<int> FakeAggregator::batch_sizes() const {
  MutexLock lock(&state_->mu);
  return state_->batches;
}
uint64_t FakeAggregator::duplicate_submits() const {
  MutexLock lock(&state_->mu);
  return state_->duplicates;
}
size_t FakeAggregator::work_streams() const {
  MutexLock lock(&state_->mu);
  size_t open = 0;
  for (const auto& [session, worker] : state_->workers) {
    if (worker.stream != nullptr) ++open;
  }
  return open;
}
std::pair<uint64_t, uint64_t> FakeAggregator::completions() const {
  MutexLock lock(&state_->mu);
  return {state_->complete_messages, state_->completions};
}
std::map<std::string, FakeAggregator::TaskRecord> FakeAggregator::tasks() const {
  MutexLock lock(&state_->mu);
  return state_->tasks;
}
std::string FakeAggregator::violations() const {
  MutexLock lock(&state_->mu);
  return state_->broken;
}

bool FakeAggregator::WaitFor(const std::function<bool()>& predicate) {
  const SystemClock clock;
  const TimeMs until = clock.NowMs() + 60'000;
  while (!predicate()) {
    if (clock.NowMs() >= until) return false;
    MutexLock lock(&state_->mu);
    // Bounded: what the predicate reads may change without us.
    state_->changed.WaitWithTimeout(&state_->mu, absl::Milliseconds(5));
  }
  return true;
}

}  // namespace wheelpit
