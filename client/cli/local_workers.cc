#include "client/cli/local_workers.h"

#include <signal.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace wheelpit {
namespace {
// A worker that lived this long does not count towards the restart delay.
constexpr int64_t kHealthyMs = 10'000;
}  // namespace

LocalWorkers::LocalWorkers(LocalWorkersOptions options, EventSink sink) : options_(std::move(options)), sink_(std::move(sink)) {}

int LocalWorkers::running() const {
  return static_cast<int>(std::count_if(workers_.begin(), workers_.end(), [](const Worker& w) { return w.kill_at_ms == 0; }));
}

int LocalWorkers::draining() const { return static_cast<int>(workers_.size()) - running(); }

void LocalWorkers::SetWanted(int wanted, int64_t now_ms) {
  wanted_ = wanted;
  restart_at_ms_ = 0;
  Maintain(now_ms);
}

void LocalWorkers::Maintain(int64_t now_ms) {
  for (Worker& w : workers_) {
    if (w.kill_at_ms != 0 && now_ms >= w.kill_at_ms) {
      sink_("worker_killed", absl::StrCat(w.number));
      w.process.SignalGroup(SIGKILL);
      w.kill_at_ms = now_ms + options_.grace_ms;
    }
  }
  while (running() > wanted_) DrainOne(now_ms);
  while (running() < wanted_ && now_ms >= restart_at_ms_) StartOne(now_ms);
}

void LocalWorkers::StartOne(int64_t now_ms) {
  ChildOptions child;
  child.arguments = options_.command;
  child.output_file = options_.log_file;
  absl::StatusOr<ChildProcess> process = ChildProcess::Start(child);
  if (!process.ok()) {
    sink_("worker_failed", process.status().message());
    restart_at_ms_ = now_ms + std::min(options_.restart_max_ms, options_.restart_min_ms << std::min(crashes_++, 10));
    return;
  }
  sink_("worker_started", absl::StrCat(next_number_));
  workers_.push_back({*std::move(process), now_ms, 0, next_number_++});
}

void LocalWorkers::DrainOne(int64_t now_ms) {
  // Idle ones first, then the youngest: least work is interrupted.
  Worker* chosen = nullptr;
  bool chosen_busy = true;
  for (Worker& w : workers_) {
    if (w.kill_at_ms != 0) continue;
    const bool busy = w.process.HasChildren();
    if (chosen == nullptr || (chosen_busy && !busy) || (chosen_busy == busy)) {
      chosen = &w;
      chosen_busy = busy;
    }
  }
  if (chosen == nullptr) return;
  chosen->kill_at_ms = now_ms + options_.grace_ms;
  sink_("worker_draining", absl::StrCat(chosen->number));
  // The worker alone: its running command must be left to end by itself.
  chosen->process.Signal(SIGTERM);
}

void LocalWorkers::Reap(int64_t now_ms) {
  for (size_t i = 0; i < workers_.size();) {
    Worker& w = workers_[i];
    const std::optional<int> status = w.process.Poll();
    if (!status) {
      ++i;
      continue;
    }
    sink_("worker_ended", absl::StrCat(w.number, " status ", *status));
    if (w.kill_at_ms == 0) {
      crashes_ = now_ms - w.started_ms >= kHealthyMs ? 0 : crashes_;
      restart_at_ms_ = now_ms + std::min(options_.restart_max_ms, options_.restart_min_ms << std::min(crashes_++, 10));
    }
    workers_.erase(workers_.begin() + static_cast<std::ptrdiff_t>(i));  // keeps them by age
  }
  Maintain(now_ms);
}

int64_t LocalWorkers::NextDeadlineMs() const {
  int64_t next = std::numeric_limits<int64_t>::max();
  for (const Worker& w : workers_) {
    if (w.kill_at_ms != 0) next = std::min(next, w.kill_at_ms);
  }
  if (running() < wanted_) next = std::min(next, restart_at_ms_);
  return next;
}

}  // namespace wheelpit
