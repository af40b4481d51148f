// Local worker processes as a Deployment has pods: a wanted number of them, restarted when they crash, the idle ones ended first.
//
// Not thread-safe: one loop calls Reap() after SIGCHLD and Maintain() at or after NextDeadlineMs().
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "client/cli/child_process.h"

namespace wheelpit {

struct LocalWorkersOptions {
  // The whole command of one worker; it drains on SIGTERM.
  std::vector<std::string> command;
  std::string log_file;             // empty = inherited
  int64_t grace_ms = 30'000;        // SIGKILL after it
  int64_t restart_min_ms = 500;     // doubles with each crash up to
  int64_t restart_max_ms = 30'000;
};

class LocalWorkers {
 public:
  using EventSink = std::function<void(absl::string_view event, absl::string_view detail)>;
  LocalWorkers(LocalWorkersOptions options, EventSink sink);

  // Starts or drains at once towards `wanted`.
  void SetWanted(int wanted, int64_t now_ms);
  int wanted() const { return wanted_; }
  // Running and not draining.
  int running() const;
  int draining() const;
  void Reap(int64_t now_ms);
  void Maintain(int64_t now_ms);
  int64_t NextDeadlineMs() const;  // INT64_MAX = nothing to do

 private:
  struct Worker {
    ChildProcess process;
    int64_t started_ms;
    int64_t kill_at_ms;  // 0 = not draining
    int number;
  };
  void StartOne(int64_t now_ms);
  void DrainOne(int64_t now_ms);

  const LocalWorkersOptions options_;
  const EventSink sink_;
  std::vector<Worker> workers_;
  int wanted_ = 0;
  int next_number_ = 1;
  int crashes_ = 0;
  int64_t restart_at_ms_ = 0;
};

}  // namespace wheelpit
