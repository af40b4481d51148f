// A queue on a KeptJournal, a worker stream that writes down what it gets, and calls that wait for their answers.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "base/errors.h"
#include "server/journal/durable_queue.h"
#include "server/queue/work_queue.h"
#include "tests/unit/server/queue/kept_journal.h"

namespace wheelpit {

class RecordingChannel : public WorkerChannel {
 public:
  void Assign(std::vector<Assignment> assignments) override {
    ++assign_calls;
    for (Assignment& a : assignments) assigned.push_back(std::move(a));
  }
  void LeaseLost(std::vector<LeaseRef> leases, absl::string_view cause) override {
    for (const LeaseRef& lease : leases) lost.emplace_back(lease, std::string(cause));
  }
  void CancelNotice(std::vector<LeaseRef> leases) override {
    for (const LeaseRef& lease : leases) notices.push_back(lease);
  }
  void Superseded() override { superseded = true; }

  int assign_calls = 0;
  std::vector<Assignment> assigned;
  std::vector<std::pair<LeaseRef, std::string>> lost;
  std::vector<LeaseRef> notices;
  bool superseded = false;
};

class RecordingObserver : public QueueObserver {
 public:
  struct Event {
    Lsn lsn;
    QueueEventKind kind;
    std::string queue;
    std::string reason;
    uint64_t n;
    size_t counts;
    friend bool operator==(const Event&, const Event&) = default;
  };
  void OnQueueEvent(Lsn lsn, const QueueEvent& e) override {
    events.push_back({lsn, e.kind, std::string(e.queue), std::string(e.reason), e.n, e.counts.size()});
  }
  uint64_t Total(QueueEventKind kind) const {
    uint64_t total = 0;
    for (const Event& e : events) total += e.kind == kind ? e.n : 0;
    return total;
  }
  std::vector<Event> events;
};

inline constexpr SipKey kTestKey = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
inline constexpr int64_t kStart = 1'700'000'000'000;

class QueueTest : public ::testing::Test {
 protected:
  QueueTest() { Start(); }

  void Start() {
    if (journal_ == nullptr) journal_ = std::make_unique<KeptJournal>();
    durable_ = std::make_unique<DurableQueue>();
    observer_ = std::make_unique<RecordingObserver>();
    queue_ = WorkQueue::Create(options_, journal_.get(), durable_.get(), observer_.get(), &rng_);
    Fold* fold = queue_.get();
    ASSERT_TRUE(journal_->Recover({&fold, 1}, nullptr).ok());
    ASSERT_TRUE(queue_->RecoveryDone(now_).ok());
    WriteEpoch();
    queue_->SetEpoch(epoch_, kTestKey);
  }
  // What the engine does at each start: EpochMeta{epoch, hash_key}, durable before SetEpoch.
  void WriteEpoch() {
    ++epoch_;
    std::string meta = {0x10, static_cast<char>((epoch_ & 0x7F) | 0x80), static_cast<char>(epoch_ >> 7), 0x2A, 16};
    meta.append(kTestKey.begin(), kTestKey.end());
    const RecordView record{RecordType::kEpoch, 0, 0, meta, {}};
    ASSERT_TRUE(journal_->Append({&record, 1}, nullptr).ok());
    Commit();
  }
  void Restart(WorkQueueOptions options) {
    options_ = options;
    journal_ = std::make_unique<KeptJournal>();
    Start();
  }
  void Crash() {
    queue_.reset();
    journal_ = journal_->AfterCrash();
    Start();
  }
  // One turn of an engine: hands out, commits, applies.
  void Turn() {
    queue_->Advance(now_, 1000);
    Commit();
  }
  void Commit() {
    journal_->Commit();
    durable_->Advance(journal_->durable_lsn());
  }
  void Settle() {
    for (int i = 0; i < 10; ++i) {
      Turn();
      if (queue_->NextDeadline() > now_ && durable_->empty()) return;
    }
  }
  void Pass(int64_t ms) {
    now_ += ms;
    Settle();
  }

  static TaskSpec Spec(std::string payload = "p") {
    TaskSpec spec;
    spec.queue = "q";
    spec.payload = std::move(payload);
    return spec;
  }
  static TaskSpec Keyed(std::string key, std::string payload = "p") {
    TaskSpec spec = Spec(std::move(payload));
    spec.idempotency_key = std::move(key);
    return spec;
  }
  absl::StatusOr<SubmitOutcome> Submit(TaskSpec spec) {
    std::optional<absl::StatusOr<SubmitOutcome>> result;
    queue_->Submit(std::move(spec), now_, [&](absl::StatusOr<SubmitOutcome> r) { result = std::move(r); });
    Commit();
    return result.has_value() ? *result : absl::InternalError("no answer");
  }
  TaskId MustSubmit(TaskSpec spec) {
    absl::StatusOr<SubmitOutcome> outcome = Submit(std::move(spec));
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    return outcome.ok() ? outcome->id : TaskId{};
  }
  std::vector<Assignment> Lease(uint32_t tasks_max = 1, std::string worker = "w", std::string queue = "q") {
    std::vector<Assignment> result;
    queue_->LeaseTasks(std::move(worker), {{std::move(queue), 1}}, tasks_max, 0, now_,
                       [&](absl::StatusOr<std::vector<Assignment>> r) {
                         EXPECT_TRUE(r.ok()) << r.status();
                         if (r.ok()) result = *std::move(r);
                       });
    Settle();
    return result;
  }
  Assignment MustLease() {
    std::vector<Assignment> leased = Lease();
    EXPECT_EQ(leased.size(), 1u);
    return leased.empty() ? Assignment{} : std::move(leased[0]);
  }
  template <typename Call>
  LeaseOutcome One(Call call) {
    std::optional<LeaseOutcome> outcome;
    call([&](std::vector<LeaseOutcome> outcomes) { outcome = outcomes.at(0); });
    Commit();
    return outcome.has_value() ? *outcome : LeaseOutcome{absl::InternalError("no answer")};
  }
  LeaseOutcome Complete(const Assignment& a, std::string result = "", SessionId session = 0) {
    return One([&](auto done) { queue_->Complete({{a.task.id, a.token, std::move(result), ""}}, session, now_, done); });
  }
  LeaseOutcome Fail(const Assignment& a, bool retryable = true, int64_t retry_after_ms = 0) {
    return One([&](auto done) { queue_->Fail({{a.task.id, a.token, "it broke", retryable, retry_after_ms}}, 0, now_, done); });
  }
  LeaseOutcome Extend(const Assignment& a, int64_t ttl_ms = 0) {
    return One([&](auto done) { queue_->Extend({{a.task.id, a.token, ttl_ms}}, 0, now_, done); });
  }
  LeaseOutcome Release(const Assignment& a) {
    return One([&](auto done) { queue_->Release({{a.task.id, a.token}}, 0, now_, done); });
  }
  absl::StatusOr<TaskView> Cancel(TaskId id, bool force = false) {
    std::optional<absl::StatusOr<TaskView>> result;
    queue_->Cancel(id, force, now_, [&](absl::StatusOr<TaskView> r) { result = std::move(r); });
    Commit();
    return result.has_value() ? *result : absl::InternalError("no answer");
  }
  absl::Status Put(std::optional<QueueConfig> config, std::optional<QueueFlags> flags) {
    absl::Status result = absl::InternalError("no answer");
    queue_->PutQueue("q", config, flags, now_, [&](absl::Status s) { result = s; });
    Commit();
    return result;
  }
  TaskView View(TaskId id) {
    absl::StatusOr<TaskView> view = queue_->GetTask(id, {true, true}, now_);
    EXPECT_TRUE(view.ok()) << view.status();
    return view.ok() ? *view : TaskView{};
  }
  TaskState StateOf(TaskId id) { return View(id).state; }
  QueueStats Stats(const std::string& name = "q") {
    for (const QueueStats& stats : queue_->ComputeStats(now_).queues) {
      if (stats.name == name) return stats;
    }
    ADD_FAILURE() << "no queue " << name;
    return {};
  }
  uint64_t CountOf(TaskState state) { return Stats().tasks[static_cast<size_t>(state)]; }
  SessionWelcome Open(RecordingChannel* channel, uint32_t slots, SessionHello hello = {}) {
    hello.worker_id = "streamer";
    if (hello.queues.empty()) hello.queues = {{"q", 1}};
    hello.slots = slots;
    absl::StatusOr<SessionWelcome> welcome = queue_->OpenSession(hello, channel, now_);
    EXPECT_TRUE(welcome.ok()) << welcome.status();
    return welcome.ok() ? *welcome : SessionWelcome{};
  }

  WorkQueueOptions options_;
  std::map<uint64_t, Lsn> submits_;  // by task, where a test wants to know
  int64_t now_ = kStart;
  uint64_t epoch_ = 0;
  Rng rng_{7};
  std::unique_ptr<KeptJournal> journal_;
  std::unique_ptr<DurableQueue> durable_;
  std::unique_ptr<RecordingObserver> observer_;
  std::unique_ptr<WorkQueue> queue_;
};

// Two dumps, told apart by their first different line.
inline void ExpectSameDump(const std::string& seen, const std::string& expected) {
  if (seen == expected) return;
  const std::vector<std::string> a = absl::StrSplit(seen, '\n');
  const std::vector<std::string> b = absl::StrSplit(expected, '\n');
  for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    const std::string left = i < a.size() ? a[i] : "(end)";
    const std::string right = i < b.size() ? b[i] : "(end)";
    if (left == right) continue;
    ADD_FAILURE() << "line " << i << " of " << a.size() << " and " << b.size() << "\n  seen     " << left << "\n  expected " << right;
    return;
  }
}

#define EXPECT_REASON(status, expected_code, reason)            \
  do {                                                          \
    const absl::Status seen_status = (status);                  \
    EXPECT_EQ(seen_status.code(), absl::StatusCode::expected_code) << seen_status; \
    EXPECT_EQ(ErrorReason(seen_status), reason);                \
  } while (false)

}  // namespace wheelpit
