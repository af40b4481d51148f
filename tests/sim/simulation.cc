#include "tests/sim/simulation.h"

#include <array>
#include <cstdio>
#include <map>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/series/series_store.h"
#include "tests/sim/actors.h"

namespace wheelpit::sim {
namespace {

constexpr int kWorkers = 4;
constexpr int kReporters = 3;

// The first lines in which two dumps differ.
std::string FirstDifference(const std::string& a, const std::string& b) {
  const std::vector<absl::string_view> x = absl::StrSplit(a, '\n'), y = absl::StrSplit(b, '\n');
  for (size_t i = 0; i < std::max(x.size(), y.size()); ++i) {
    const absl::string_view left = i < x.size() ? x[i] : "(nothing)", right = i < y.size() ? y[i] : "(nothing)";
    if (left != right) return absl::StrCat("\n  ", left, "\n  ", right);
  }
  return "";
}

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options)
      : options_(options), rng_(options.seed), world_(options.seed), context_{&world_, &history_, &rng_, {"alpha", "beta"}}, submitter_(&context_) {
    for (int i = 0; i < kWorkers; ++i) workers_.push_back(std::make_unique<Worker>(&context_, i));
    for (int i = 0; i < kReporters; ++i) reporters_.push_back(std::make_unique<Reporter>(&context_, i));
  }

  SimulationResult Run();

 private:
  void Step();
  void Client();
  void Nemesis();
  void End(bool power);
  void Restart();
  void Heal();
  void RestartDamaged();
  void CheckReads();
  void CheckAccounting();
  void CheckTotals();
  void CheckReplay();
  void Finish();
  double CounterTotal(absl::string_view family, const Labels& labels);
  std::array<uint64_t, kTaskStates> Recount(const std::string& queue);

  const SimulationOptions options_;
  Rng rng_;
  World world_;
  TaskHistory history_;
  Context context_;
  Submitter submitter_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<Reporter>> reporters_;
  SimulationResult result_;
  int full_until_ = 0;
  int step_ = 0;
};

void Simulation::End(bool power) {
  for (auto& w : workers_) w->ServerGone();
  for (auto& r : reporters_) r->ServerGone();
  history_.ServerRestarted();
  if (power) {
    ++result_.power_cuts;
    world_.PowerCut();
  } else {
    ++result_.kills;
    world_.Kill();
  }
  if (options_.verbose) std::printf("%d: %s\n", step_, power ? "power cut" : "killed");
}

void Simulation::Restart() {
  world_.disk().SetWritesFull(false);
  world_.clock().JumpWall(static_cast<int64_t>(rng_.Below(7'200'000)) - 3'600'000);
  for (int tries = 0; !world_.alive(); ++tries) {
    const absl::Status started = world_.Start();
    if (started.ok()) break;
    if (tries == 3) {
      history_.Violation(absl::StrCat("R2: an undamaged journal did not open: ", started.message()));
      return;
    }
    // A fault planted earlier may strike during recovery; the machine goes down once more.
    world_.PowerCut();
  }
  CheckReads();
}

// The disk is sound from here on.
void Simulation::Heal() {
  world_.disk().SetWritesFull(false);
  world_.disk().CutPowerAfter(0);
  world_.disk().FailWrite(0);
  world_.disk().FailSync(0);
}

// Flips a byte somewhere in the journal. Either it does not matter, or the start is refused with a clear message; never a wrong state.
void Simulation::RestartDamaged() {
  Heal();
  std::vector<std::string> paths;
  for (const std::string& p : world_.disk().Paths()) {
    if (absl::StrContains(p, "seg-") || absl::StrContains(p, "ckpt-")) paths.push_back(p);
  }
  if (paths.empty()) return Restart();
  const std::string path = paths[rng_.Below(paths.size())];
  const size_t size = world_.disk().Content(path).size();
  if (size == 0) return Restart();
  const uint64_t offset = rng_.Below(size);
  const auto mask = static_cast<uint8_t>(1 + rng_.Below(255));
  FaultFileSystem before({.seed = 1});
  before.CopyFrom(world_.disk());
  world_.disk().Flip(path, offset, mask);
  const absl::Status started = world_.Start();
  // Damage to the very last commit cannot be told from a torn one: nothing behind it says that it was promised. Such a cut is
  // no broken promise of the code, so the run goes on with the sound disk.
  const bool cut = started.ok() && world_.engine().recovery().cut_bytes > 0;
  if (started.ok()) {
    // Damage to what a checkpoint covers shows when it is read: as damage, never as something else.
    for (TaskId id : history_.Known()) {
      if (cut) break;
      absl::StatusOr<TaskView> view = world_.queue().GetTask(id, {.payload = true, .result = true}, world_.now());
      if (view.status().code() != absl::StatusCode::kDataLoss) history_.CheckRead(id, view);
    }
    world_.Kill();
    world_.disk().CopyFrom(before);
    return Restart();
  }
  ++result_.damage_refused;
  if (started.code() != absl::StatusCode::kDataLoss && started.code() != absl::StatusCode::kFailedPrecondition) {
    history_.Violation(absl::StrCat("R4: damage was refused with another error: ", started.ToString()));
  }
  world_.disk().CopyFrom(before);
  Restart();
}

void Simulation::Nemesis() {
  const double dice = rng_.Unit();
  if (dice < 0.4) {
    End(false);
    Restart();
  } else if (dice < 0.75) {
    End(true);
    Restart();
  } else if (dice < 0.82) {
    End(true);
    RestartDamaged();
  } else if (dice < 0.88) {
    ++result_.disk_faults;
    world_.disk().CutPowerAfter(1 + rng_.Below(20));
  } else if (dice < 0.94) {
    ++result_.disk_faults;
    if (rng_.Chance(0.5)) {
      world_.disk().FailWrite(1 + rng_.Below(5));
    } else {
      world_.disk().FailSync(1 + rng_.Below(5));
    }
  } else {
    ++result_.disk_faults;
    world_.disk().SetWritesFull(true);
    full_until_ = step_ + 30;
  }
}

void Simulation::Client() {
  const double dice = rng_.Unit();
  if (dice < 0.35) {
    submitter_.Step();
  } else if (dice < 0.8) {
    workers_[rng_.Below(workers_.size())]->Step();
  } else {
    reporters_[rng_.Below(reporters_.size())]->Step();
  }
}

void Simulation::Step() {
  if (full_until_ != 0 && step_ > full_until_) {
    world_.disk().SetWritesFull(false);
    full_until_ = 0;
  }
  const double dice = rng_.Unit();
  if (dice < 0.55) {
    Client();
  } else if (dice < 0.75) {
    world_.RunEngine();
  } else if (dice < 0.87) {
    world_.Commit();
  } else if (dice < 0.9) {
    world_.background().Step();
    if (rng_.Chance(0.1)) world_.engine().Checkpoint([](absl::Status) {});
  } else if (dice < 0.99) {
    world_.clock().Advance(static_cast<int64_t>(rng_.Below(rng_.Chance(0.1) ? 5000 : 200)));
  } else {
    Nemesis();
  }
  // What a planted fault ended, the operator's supervisor starts again. After an I/O error nothing of the cache can be trusted.
  if (world_.alive() && (!world_.engine().failure().ok() || world_.disk().power_is_off())) {
    End(true);
    Restart();
  }
}

void Simulation::CheckReads() {
  // A planted fault may have cut the power meanwhile, even during the start: who reads then hears nothing, and the next step restarts.
  if (!world_.alive() || world_.disk().power_is_off()) return;
  for (TaskId id : history_.Known()) {
    history_.CheckRead(id, world_.queue().GetTask(id, {.payload = true, .result = true}, world_.now()));
  }
}

std::array<uint64_t, kTaskStates> Simulation::Recount(const std::string& queue) {
  std::array<uint64_t, kTaskStates> counts{};
  TaskListQuery query;
  query.queue = queue;
  query.tasks_max = 1000;
  for (;;) {
    absl::StatusOr<std::vector<TaskView>> page = world_.queue().ListTasks(query, world_.now());
    if (!page.ok() || page->empty()) return counts;
    for (const TaskView& task : *page) ++counts[static_cast<size_t>(task.state)];
    query.after = page->back().id;
  }
}

double Simulation::CounterTotal(absl::string_view family, const Labels& labels) {
  SeriesStore::ReadLock read(world_.engine().store());
  const FamilyEntry* entry = read.family(family);
  if (entry == nullptr) return -1;
  for (SeriesId id : entry->series) {
    if (read.series(id).labels().ToLabels() == labels) return read.series(id).counter.AsDouble();
  }
  return -1;
}

void Simulation::CheckAccounting() {
  const ShardStats stats = world_.queue().ComputeStats(world_.now());
  for (const QueueStats& queue : stats.queues) {
    const auto counted = Recount(queue.name);
    uint64_t all = 0;
    for (size_t s = 0; s < counted.size(); ++s) {
      all += counted[s];
      if (counted[s] != queue.tasks[s]) {
        history_.Violation(absl::StrCat("I17: queue ", queue.name, " says ", queue.tasks[s], " ", TaskStateName(static_cast<TaskState>(s)),
                                        ", a recount ", counted[s]));
      }
    }
    const Labels labels{{"queue", queue.name}};
    const double submitted = CounterTotal("wheelpit_tasks_submitted_total", labels);
    if (submitted != static_cast<double>(all)) {
      history_.Violation(absl::StrCat("I17: queue ", queue.name, " counted ", submitted, " submits, holds ", all, " tasks"));
    }
    const double completed = CounterTotal("wheelpit_tasks_completed_total", labels);
    if (completed != static_cast<double>(counted[static_cast<size_t>(TaskState::kSucceeded)])) {
      history_.Violation(absl::StrCat("I17: queue ", queue.name, " counted ", completed, " completions, holds ",
                                      counted[static_cast<size_t>(TaskState::kSucceeded)], " of them"));
    }
    result_.tasks += all;
    result_.completed += counted[static_cast<size_t>(TaskState::kSucceeded)];
  }
}

void Simulation::CheckTotals() {
  for (size_t i = 0; i < reporters_.size(); ++i) {
    if (!reporters_[i]->drained()) history_.Violation("totals: a reporter could not deliver its batches");
    for (const auto& [series, sum] : reporters_[i]->totals()) {
      const double total = CounterTotal("sim_total", {{"reporter", absl::StrCat("reporter-", i)}, {"series", series}});
      if (total != static_cast<double>(sum)) {
        history_.Violation(absl::StrCat("totals: ", series, " of reporter-", i, " is ", total, ", the distinct batches add up to ", sum));
      }
    }
  }
}

// Heals everything, lets one correct worker finish what there is, and looks at the end state.
void Simulation::Finish() {
  Heal();
  if (world_.alive()) {
    // A fault that struck a moment ago is noticed now.
    world_.Commit();
    world_.RunEngine();
    if (!world_.engine().failure().ok()) End(true);
  }
  if (!world_.alive()) Restart();
  if (!world_.alive()) return;
  for (auto& w : workers_) w->Disconnect();
  Worker last(&context_, 99);
  last.Connect(50);
  for (int i = 0; i < 50 && submitter_.unknown() > 0; ++i) {
    submitter_.RetryUnknown();
    world_.Settle();
  }
  const auto live = [&] {
    uint64_t n = 0;
    for (const QueueStats& q : world_.queue().ComputeStats(world_.now()).queues) {
      for (TaskState s : {TaskState::kDelayed, TaskState::kReady, TaskState::kLeased, TaskState::kRetryWait}) n += q.tasks[static_cast<size_t>(s)];
    }
    return n;
  };
  for (int i = 0; i < 4000 && live() > 0; ++i) {
    world_.Settle();
    last.CompleteAll();
    world_.Settle();
    world_.clock().Advance(1000);
    if (last.connected()) world_.queue().Heartbeat(1, world_.now());
  }
  if (live() > 0) history_.Violation(absl::StrCat("I10: ", live(), " tasks never ended"));
  for (auto& r : reporters_) r->Flush();
  world_.Settle();
  CheckReads();
  CheckAccounting();
  CheckTotals();
  CheckReplay();
}

// What a restart makes of the journal is what was there.
void Simulation::CheckReplay() {
  const std::string before = world_.queue().DebugDump();
  for (auto& r : reporters_) r->ServerGone();
  world_.Kill();
  if (absl::Status started = world_.Start(); !started.ok()) {
    history_.Violation(absl::StrCat("R13: the journal did not open at the end: ", started.message()));
    return;
  }
  const std::string after = world_.queue().DebugDump();
  if (after != before) history_.Violation("R13: checkpoint and tail fold to another state than the run had: " + FirstDifference(before, after));
  CheckTotals();
}

SimulationResult Simulation::Run() {
  Restart();
  for (step_ = 0; step_ < options_.steps && history_.violations().empty(); ++step_) {
    if (!world_.alive()) break;
    Step();
  }
  if (history_.violations().empty()) Finish();
  result_.violations = history_.violations();
  for (auto& r : reporters_) {
    r->ServerGone();
    result_.batches += r->totals().size();
  }
  return result_;
}

}  // namespace

SimulationResult RunSimulation(const SimulationOptions& options) { return Simulation(options).Run(); }

}  // namespace wheelpit::sim
