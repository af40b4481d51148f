// Random operations against the queue, with crashes that lose what was not durable, checked against what clients and workers were
// told. A failure prints its seed; WHEELPIT_MODEL_SEED=<seed> [WHEELPIT_MODEL_STEPS=<n>] replays it alone.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/unit/server/queue/queue_fixture.h"

namespace wheelpit {
namespace {

class ModelTest : public QueueTest {
 protected:
  // What the outside knows of one acknowledged task.
  struct Known {
    TaskSpec spec;
    int64_t submitted_ms = 0;
    uint64_t token = 0;    // of the last assignment
    uint32_t attempt = 0;
    bool crashed = false;  // since then
    uint64_t completed_token = 0;
    std::string result;
    bool cancelled = false;
  };
  struct Held {
    TaskId id;
    LeaseToken token;
    SessionId session = 0;
  };
  class Channel : public WorkerChannel {
   public:
    explicit Channel(ModelTest* test) : test_(test) {}
    void Assign(std::vector<Assignment> assignments) override {
      for (const Assignment& a : assignments) {
        unfinished[a.task.id.value] = a.task.payload.size();
        test_->Assigned(a, session);
      }
      uint64_t sum = 0;
      for (const auto& [id, size] : unfinished) sum += size;
      EXPECT_LE(unfinished.size(), slots) << "I16";
      EXPECT_TRUE(sum <= bytes || unfinished.size() == 1) << "I16: " << sum << " of " << bytes;
    }
    void LeaseLost(std::vector<LeaseRef> leases, absl::string_view) override {
      for (const LeaseRef& lease : leases) unfinished.erase(lease.task.value);
    }
    void CancelNotice(std::vector<LeaseRef>) override {}
    void Superseded() override { ADD_FAILURE() << "nobody took over"; }

    SessionId session = 0;
    uint32_t slots = 0;
    uint64_t bytes = 0;
    std::map<uint64_t, uint64_t> unfinished;

   private:
    ModelTest* const test_;
  };

  void Assigned(const Assignment& a, SessionId session) {
    const uint64_t id = a.task.id.value;
    const Lsn lsn = SubmitLsn(id);
    EXPECT_TRUE(lsn != 0 && lsn <= journal_->durable_lsn()) << "I7: task " << id;
    // A submit whose answer was lost makes a task too.
    Known& k = known_[id];
    EXPECT_FALSE(paused_) << "I7: paused";
    EXPECT_EQ(k.completed_token, 0u) << "I5: task " << id;
    EXPECT_FALSE(k.cancelled) << "I18: task " << id;
    EXPECT_GE(now_, a.task.not_before_ms) << "I7";
    EXPECT_TRUE(a.task.expire_at_ms == 0 || now_ < a.task.expire_at_ms) << "I7";
    EXPECT_GT(a.token.value, k.token) << "I4: task " << id;
    if (k.crashed) {
      EXPECT_LE(a.attempt, k.attempt + 1) << "I8";
    } else {
      EXPECT_EQ(a.attempt, k.attempt + 1) << "I8: task " << id;
    }
    EXPECT_GT(a.deadline_ms, now_) << "I11";
    if (!k.spec.queue.empty()) {
      EXPECT_EQ(a.task.payload, k.spec.payload);
    }
    k.token = a.token.value;
    k.attempt = a.attempt;
    k.crashed = false;
    held_.push_back({a.task.id, a.token, session});
  }

  Lsn SubmitLsn(uint64_t id) {
    for (; scanned_ < journal_->records().size(); ++scanned_) {
      const OwnedRecord& r = journal_->records()[scanned_];
      if (r.type == RecordType::kSubmit) submit_lsn_[r.id] = scanned_ + 1;
    }
    const auto it = submit_lsn_.find(id);
    return it == submit_lsn_.end() ? 0 : it->second;
  }

  void RandomSubmit() {
    TaskSpec spec = Spec(std::string(1 + rng_.Below(2000), 'a'));
    if (rng_.Chance(0.3)) spec.idempotency_key = absl::StrCat("k", rng_.Below(60));
    if (!spec.idempotency_key.empty()) spec.payload = rng_.Chance(0.9) ? "same" : "other";
    if (spec.idempotency_key.empty()) {
      if (rng_.Chance(0.2)) spec.delay_ms = static_cast<int64_t>(1 + rng_.Below(60'000));
      if (rng_.Chance(0.1)) spec.expire_at_ms = now_ + 60'001 + static_cast<int64_t>(rng_.Below(100'000));
      spec.priority = static_cast<int>(rng_.Below(16)) - 8;
      spec.max_attempts = static_cast<uint32_t>(1 + rng_.Below(4));
      spec.max_losses = static_cast<uint32_t>(1 + rng_.Below(4));
      spec.lease_ttl_ms = static_cast<int64_t>(1000 * (1 + rng_.Below(30)));
    }
    queue_->Submit(spec, now_, [this, spec, at = now_](absl::StatusOr<SubmitOutcome> r) {
      const std::string& key = spec.idempotency_key;
      if (!r.ok()) {
        EXPECT_EQ(r.status().code(), absl::StatusCode::kAlreadyExists) << r.status();
        // The task that the refusal names may be one whose own answer a crash lost: its record tells.
        const std::string text(r.status().message());
        const size_t at_id = text.rfind(' ') + 1;
        const absl::StatusOr<TaskId> named = ParseTaskId(text.substr(at_id, text.find_first_not_of("0123456789-", at_id) - at_id));
        const Lsn lsn = named.ok() ? SubmitLsn(named->value) : 0;
        ASSERT_NE(lsn, 0u) << text;
        EXPECT_NE(journal_->records()[lsn - 1].payload, spec.payload) << "I3: key " << key;
        return;
      }
      Known& k = known_[r->id.value];
      if (!key.empty()) {
        const auto [it, inserted] = keys_.try_emplace(key, r->id.value, spec.payload);
        EXPECT_EQ(it->second.first, r->id.value) << "I2, I3: key " << key;
        EXPECT_EQ(it->second.second, spec.payload) << "I3";
      } else {
        EXPECT_FALSE(r->deduplicated);
        EXPECT_TRUE(k.spec.queue.empty()) << "I1: id " << r->id.value << " twice";
      }
      k.spec = spec;
      k.submitted_ms = at;
    });
  }

  void RandomLeaseOperation() {
    if (held_.empty()) return;
    const size_t at = rng_.Below(held_.size());
    const Held h = held_[at];
    Known& k = known_[h.id.value];
    // A crash that lost a write-behind LEASE makes the token before it current again: nobody else can be told so.
    const bool current = k.token == h.token.value || k.crashed;
    const uint64_t kind = rng_.Below(10);
    if (kind < 8 && rng_.Chance(0.8)) held_.erase(held_.begin() + static_cast<ptrdiff_t>(at));  // else a zombie tries again
    if (kind < 8 && channel_ != nullptr && current) channel_->unfinished.erase(h.id.value);
    if (kind < 5) {
      const std::string result = absl::StrCat("result of ", h.token.value);
      queue_->Complete({{h.id, h.token, result, ""}}, h.session, now_, [this, h, current, result](auto outcomes) {
        if (!outcomes[0].status.ok()) return;
        Known& task = known_[h.id.value];
        EXPECT_TRUE(task.completed_token == 0 || task.completed_token == h.token.value) << "I5";
        EXPECT_TRUE(current || task.completed_token == h.token.value) << "I6";
        EXPECT_FALSE(task.cancelled) << "I18";
        task.completed_token = h.token.value;
        task.result = result;
      });
    } else if (kind < 7) {
      // A repeat gets the recorded outcome, whose time is of the first.
      const bool first = failed_.insert(h.token.value).second;
      queue_->Fail({{h.id, h.token, "error", rng_.Chance(0.9), 0}}, h.session, now_, [this, h, current, first, at_ms = now_](auto outcomes) {
        if (!outcomes[0].status.ok()) return;
        EXPECT_TRUE(current) << "I6";
        const TaskView view = View(h.id);
        if (view.state != TaskState::kRetryWait || view.attempts != known_[h.id.value].attempt) return;
        const double d = std::min(600'000.0, 1000.0 * static_cast<double>(1 << (view.failures - 1)));
        if (first && view.loss_cause.empty()) {
          EXPECT_GE(view.due_ms - at_ms, static_cast<int64_t>(d / 2)) << "I12";
          EXPECT_LE(view.due_ms - at_ms, static_cast<int64_t>(d) + 1) << "I12";
        }
      });
    } else if (kind < 8) {
      queue_->Release({{h.id, h.token}}, h.session, now_, [current](auto outcomes) {
        EXPECT_TRUE(current || !outcomes[0].status.ok()) << "I6";
      });
    } else {
      queue_->Extend({{h.id, h.token, 0}}, h.session, now_, [current](auto outcomes) {
        EXPECT_TRUE(current || !outcomes[0].status.ok()) << "I6";
      });
    }
  }

  void RandomLease() {
    const int64_t wait_ms = rng_.Chance(0.5) ? 0 : static_cast<int64_t>(rng_.Below(5000));
    queue_->LeaseTasks("unary", {{"q", 1}}, static_cast<uint32_t>(1 + rng_.Below(4)), wait_ms, now_, [this](auto r) {
      ASSERT_TRUE(r.ok()) << r.status();
      for (const Assignment& a : *r) Assigned(a, 0);
    });
  }

  void RandomCancel() {
    if (known_.empty()) return;
    auto it = known_.begin();
    std::advance(it, static_cast<ptrdiff_t>(rng_.Below(known_.size())));
    const TaskId id{it->first};
    queue_->Cancel(id, rng_.Chance(0.3), now_, [this, id](absl::StatusOr<TaskView> r) {
      if (!r.ok()) return;
      if (r->state == TaskState::kCancelled) {
        EXPECT_EQ(known_[id.value].completed_token, 0u);
        known_[id.value].cancelled = true;
      } else {
        // Asked for: it ends SUCCEEDED or CANCELLED, and is not tried again.
        EXPECT_TRUE(r->cancel_requested || IsTerminal(r->state));
      }
    });
  }

  void RandomSession() {
    if (channel_ == nullptr) {
      channel_ = std::make_unique<Channel>(this);
      channel_->slots = static_cast<uint32_t>(rng_.Below(5));
      channel_->bytes = 1 + rng_.Below(4000);
      SessionHello hello;
      hello.worker_id = "stream";
      hello.queues = {{"q", 1}};
      hello.slots = channel_->slots;
      hello.bytes = channel_->bytes;
      hello.session = rng_.Chance(0.7) ? old_session_ : 0;
      for (const Held& h : held_) {
        if (h.session == old_session_ && hello.session != 0) hello.held.push_back({h.id, h.token});
      }
      const auto welcome = queue_->OpenSession(hello, channel_.get(), now_);
      ASSERT_TRUE(welcome.ok()) << welcome.status();
      channel_->session = welcome->session;
      std::set<uint64_t> lost;
      for (const LeaseRef& ref : welcome->lost) lost.insert(ref.token.value);
      for (const LeaseRef& ref : hello.held) {
        if (lost.contains(ref.token.value)) continue;
        EXPECT_EQ(ref.token.value, known_[ref.task.value].token) << "I4: kept";
        channel_->unfinished[ref.task.value] = known_[ref.task.value].spec.payload.size();
      }
      // Resumed leases count, even above the new credit; nothing is revoked for it.
      return;
    }
    switch (rng_.Below(4)) {
      case 0:
        queue_->StreamClosed(channel_->session, channel_.get(), now_);
        old_session_ = channel_->session;
        channel_.reset();
        break;
      case 1:
        channel_->slots = static_cast<uint32_t>(rng_.Below(6));
        channel_->bytes = 1 + rng_.Below(4000);
        queue_->SetCredit(channel_->session, channel_->slots, channel_->bytes, now_);
        break;
      default:
        queue_->Heartbeat(channel_->session, now_);
    }
  }

  void TogglePause() {
    const bool pause = !pause_asked_;
    pause_asked_ = pause;
    if (!pause) paused_ = false;
    queue_->PutQueue("q", std::nullopt, QueueFlags{pause, false, false}, now_, [this, pause](absl::Status s) {
      EXPECT_TRUE(s.ok()) << s;
      paused_ = pause && pause_asked_;
    });
  }

  void RandomCrash() {
    // A part of what was appended may have reached the disk without anybody knowing.
    if (rng_.Chance(0.5)) journal_->CommitUpTo(journal_->durable_lsn() + rng_.Below(journal_->last_lsn() - journal_->durable_lsn() + 1));
    channel_.reset();
    old_session_ = 0;
    paused_ = false;
    submit_lsn_.clear();
    scanned_ = 0;
    Crash();
    for (auto& [id, k] : known_) k.crashed = true;
    // What it is now is what the journal kept of the last request.
    pause_asked_ = false;
    for (const QueueStats& stats : queue_->ComputeStats(now_).queues) pause_asked_ = stats.flags.paused;
    CheckAll();
  }

  // I1, I5, I9, I17 at a quiescent point.
  void CheckAll() {
    Commit();
    std::map<TaskState, uint64_t> recount;
    TaskListQuery query;
    query.queue = "q";
    query.tasks_max = 1000;
    std::set<uint64_t> seen;
    while (true) {
      const auto page = queue_->ListTasks(query, now_);
      if (!page.ok()) return;  // no queue yet
      for (const TaskView& view : *page) {
        EXPECT_TRUE(seen.insert(view.id.value).second) << "I1";
        ++recount[view.state];
        EXPECT_LE(view.failures, view.max_attempts) << "I9";
        EXPECT_LE(view.losses, view.max_losses) << "I9";
        if (view.state == TaskState::kDead) {
          const TaskView whole = View(view.id);
          EXPECT_EQ(whole.dead_reason == "max_attempts", view.failures == view.max_attempts && whole.dead_reason != "not_retryable")
              << "I9 " << whole.dead_reason;
          EXPECT_EQ(whole.dead_reason == "lease_losses", view.losses == view.max_losses) << "I9 " << whole.dead_reason;
        } else if (!IsTerminal(view.state)) {
          EXPECT_LT(view.failures, view.max_attempts) << "I9";
          EXPECT_LT(view.losses, view.max_losses) << "I9";
        }
      }
      if (page->size() < query.tasks_max) break;
      query.after = page->back().id;
    }
    for (const auto& [id, k] : known_) {
      if (k.spec.queue.empty()) continue;
      EXPECT_TRUE(seen.contains(id)) << "I1: task " << id;
      if (k.completed_token == 0) continue;
      const TaskView view = View(TaskId{id});
      EXPECT_EQ(view.state, TaskState::kSucceeded) << "I5";
      EXPECT_TRUE(view.result.empty() || absl::StartsWith(view.result, "result of ")) << "I5";
      EXPECT_EQ(view.result, absl::StrCat("result of ", k.completed_token)) << "I5";
    }
    const QueueStats stats = Stats();
    uint64_t sum = 0;
    for (int s = 1; s < kTaskStates; ++s) {
      EXPECT_EQ(stats.tasks[static_cast<size_t>(s)], recount[static_cast<TaskState>(s)]) << "I17: " << TaskStateName(static_cast<TaskState>(s));
      sum += stats.tasks[static_cast<size_t>(s)];
    }
    EXPECT_EQ(stats.submitted, sum) << "I17";
  }

  void Step() {
    const uint64_t dice = rng_.Below(1000);
    if (dice < 200) {
      RandomSubmit();
    } else if (dice < 330) {
      RandomLease();
    } else if (dice < 560) {
      RandomLeaseOperation();
    } else if (dice < 590) {
      RandomCancel();
    } else if (dice < 650) {
      RandomSession();
    } else if (dice < 655) {
      TogglePause();
    } else if (dice < 750) {
      now_ += static_cast<int64_t>(rng_.Below(rng_.Chance(0.05) ? 60'000 : 2000));
    } else if (dice < 870) {
      queue_->Advance(now_, 1 + static_cast<int>(rng_.Below(100)));
    } else if (dice < 990) {
      Commit();
    } else if (dice < 995) {
      CheckAll();
    } else {
      RandomCrash();
    }
  }

  // I10: with one correct worker everything ends.
  void Heal() {
    channel_.reset();
    RandomCrash();
    if (pause_asked_) TogglePause();
    held_.clear();
    const auto live = [this] {
      const QueueStats stats = Stats();
      uint64_t n = 0;
      for (int s = 1; s < static_cast<int>(TaskState::kSucceeded); ++s) n += stats.tasks[static_cast<size_t>(s)];
      return n;
    };
    for (int round = 0; round < 3000 && live() > 0; ++round) {
      RandomLease();
      Settle();
      while (!held_.empty()) {
        const Held h = held_.back();
        held_.pop_back();
        queue_->Complete({{h.id, h.token, absl::StrCat("result of ", h.token.value), ""}}, 0, now_, [this, h](auto outcomes) {
          EXPECT_TRUE(outcomes[0].status.ok()) << outcomes[0].status;
          known_[h.id.value].completed_token = h.token.value;
        });
      }
      Pass(1000);
    }
    EXPECT_EQ(live(), 0u) << "I10";
    CheckAll();
  }

  void Run(uint64_t seed, int steps) {
    SCOPED_TRACE(absl::StrCat("replay: WHEELPIT_MODEL_SEED=", seed, " WHEELPIT_MODEL_STEPS=", steps));
    rng_ = Rng(seed);
    options_.queue_defaults.retention_ms = 7LL * 86'400'000;
    options_.queue_defaults.dedupe_window_ms = 7LL * 86'400'000;
    options_.payload_cache_bytes = rng_.Chance(0.5) ? 20'000 : 0;
    known_.clear();
    keys_.clear();
    held_.clear();
    failed_.clear();
    submit_lsn_.clear();
    scanned_ = 0;
    paused_ = pause_asked_ = false;
    channel_.reset();
    old_session_ = 0;
    queue_.reset();
    Restart(options_);
    for (int i = 0; i < steps && !HasFailure(); ++i) Step();
    if (!HasFailure()) Heal();
    if (HasFailure()) std::printf("failed: WHEELPIT_MODEL_SEED=%d WHEELPIT_MODEL_STEPS=%d\n", static_cast<int>(seed), steps);
    queue_.reset();
  }

  std::map<uint64_t, Known> known_;
  std::map<std::string, std::pair<uint64_t, std::string>> keys_;
  std::vector<Held> held_;
  std::map<uint64_t, Lsn> submit_lsn_;
  size_t scanned_ = 0;
  bool paused_ = false;
  bool pause_asked_ = false;
  std::set<uint64_t> failed_;
  std::unique_ptr<Channel> channel_;
  SessionId old_session_ = 0;
};

TEST_F(ModelTest, RandomHistoriesWithCrashesKeepTheInvariants) {
  const char* seed_text = std::getenv("WHEELPIT_MODEL_SEED");
  const char* steps_text = std::getenv("WHEELPIT_MODEL_STEPS");
  uint64_t seed = 0;
  int steps = 3000;
  ASSERT_TRUE(steps_text == nullptr || absl::SimpleAtoi(steps_text, &steps));
  if (seed_text != nullptr) {
    ASSERT_TRUE(absl::SimpleAtoi(seed_text, &seed));
    Run(seed, steps);
    return;
  }
  for (seed = 1; seed <= 12 && !HasFailure(); ++seed) Run(seed, steps);
}

}  // namespace
}  // namespace wheelpit
