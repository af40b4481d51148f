// `wheelpit work`: any program is a worker.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/cli/command.h"
#include "client/cli/command_runner.h"
#include "client/cli/output.h"
#include "client/sdk/channel.h"
#include "client/sdk/worker.h"

namespace wheelpit {
namespace {

using Json = nlohmann::ordered_json;
using End = CommandResult::End;

constexpr char kUsage[] =
    "usage: wheelpit work --queue=Q [--slots=N] [--timeout=D] [flags] -- CMD [ARG]...\n"
    "\n"
    "Runs CMD once for each task: the payload on its standard input, the result from its standard\n"
    "output. Exit status 0 completes the task; any other fails it, with the end of standard error\n"
    "as the error, and the queue retries it. A result that is too large fails it for good. CMD\n"
    "finds WHEELPIT_TASK_ID, WHEELPIT_ATTEMPT, WHEELPIT_TOKEN and WHEELPIT_QUEUE in its\n"
    "environment. It runs in a process group of its own, which is ended at the timeout or when\n"
    "the task is cancelled.\n"
    "\n"
    "SIGTERM or SIGINT: no new tasks, what runs is finished, exit. A second one gives back what\n"
    "runs.\n"
    "\n"
    "--ledger appends a JSON line for each execution whose outcome the server has answered:\n"
    "task, queue, attempt, token, outcome (completed, failed, released), accepted, run_ms; and\n"
    "`error` where it was not accepted.\n";

// The server takes no larger result under any configuration.
constexpr size_t kResultBytesMax = size_t{1} << 20;

struct WorkFlags {
  std::vector<std::string> queues;
  int64_t slots = 1;
  int64_t timeout_ms = 0;
  std::string worker_id;
  std::string ledger;
  bool verbose = false;
};

absl::string_view OutcomeName(RunOutcome::Kind kind) {
  switch (kind) {
    case RunOutcome::Kind::kComplete:
      return "completed";
    case RunOutcome::Kind::kRelease:
      return "released";
    case RunOutcome::Kind::kFail:
    case RunOutcome::Kind::kFailForGood:
      break;
  }
  return "failed";
}

// Lines of several workers share a file: each is one write.
class Ledger {
 public:
  ~Ledger() {
    if (fd_ >= 0) ::close(fd_);
  }
  absl::Status Open(const std::string& path) {
    if (path.empty()) return absl::OkStatus();
    fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd_ >= 0) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("cannot write ", path, ": ", std::strerror(errno)));
  }
  void Write(const std::string& line) {
    if (fd_ < 0) return;
    const std::string text = line + "\n";
    if (::write(fd_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
      WriteLine(std::cerr, absl::StrCat("wheelpit work: cannot write the ledger: ",
                                        std::strerror(errno)));
    }
  }

 private:
  int fd_ = -1;
};

std::string ToJson(const FinishedRun& run) {
  Json line = {{"task", run.task_id},
               {"queue", run.queue},
               {"attempt", run.attempt},
               {"token", run.token},
               {"outcome", OutcomeName(run.kind)},
               {"accepted", run.status.ok()},
               {"run_ms", absl::ToDoubleMilliseconds(run.run_time)}};
  if (!run.status.ok()) {
    const std::string reason = StatusReason(run.status);
    line["error"] = reason.empty() ? std::string(run.status.message()) : reason;
  }
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string ErrorText(const CommandResult& result, absl::string_view what) {
  const absl::string_view tail = absl::StripSuffix(result.error_tail, "\n");
  return tail.empty() ? std::string(what) : absl::StrCat(what, ": ", tail);
}

RunOutcome RunTask(TaskRun& task, const std::vector<std::string>& command, int64_t timeout_ms,
                   const std::atomic<bool>& giving_back) {
  CommandOptions options;
  options.arguments = command;
  options.environment = {absl::StrCat("WHEELPIT_TASK_ID=", task.id()),
                         absl::StrCat("WHEELPIT_ATTEMPT=", task.attempt()),
                         absl::StrCat("WHEELPIT_TOKEN=", task.token()),
                         absl::StrCat("WHEELPIT_QUEUE=", task.queue())};
  options.input = task.payload();
  options.timeout_ms = timeout_ms;
  options.output_bytes_max = kResultBytesMax;
  options.cancelled = [&task] { return task.cancelled(); };
  CommandResult result = RunCommand(options);
  switch (result.end) {
    case End::kExited:
      if (result.code == 0) return RunOutcome::Complete(std::move(result.output));
      return RunOutcome::Fail(ErrorText(result, absl::StrCat("exit status ", result.code)));
    case End::kSignalled:
      return RunOutcome::Fail(ErrorText(result, absl::StrCat("ended by signal ", result.code)));
    case End::kTimedOut:
      return RunOutcome::Fail(
          ErrorText(result, absl::StrCat("ran longer than ", timeout_ms, " ms")));
    case End::kOutputTooLarge:
      return RunOutcome::FailForGood(
          absl::StrCat("PAYLOAD_TOO_LARGE: result over ", kResultBytesMax, " bytes"));
    case End::kNotStarted:
      // Not the task's fault.
      WriteLine(std::cerr, absl::StrCat("wheelpit work: ", result.error_tail));
      return RunOutcome::Fail(result.error_tail);
    case End::kCancelled:
      break;
  }
  return giving_back ? RunOutcome::Release() : RunOutcome::Fail("cancelled");
}

// Blocks the signals that end a worker in every thread made from here on.
sigset_t BlockEndSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return set;
}

// Says so when the aggregator cannot be reached, and when it can again.
class ConnectionWatch {
 public:
  explicit ConnectionWatch(std::string address) : address_(std::move(address)) {}

  void Look(const WorkerStats& stats) {
    const int64_t now = ClientClock().NowMs();
    if (stats.connected) {
      if (told_) WriteLine(std::cerr, absl::StrCat("wheelpit work: connected to ", address_));
      told_ = false;
      seen_ms_ = now;
    } else if (!told_ && now >= seen_ms_ + kSilenceMs) {
      told_ = true;
      WriteLine(std::cerr, absl::StrCat("wheelpit work: no connection to ", address_,
                                        "; trying on"));
    }
  }

 private:
  static constexpr int64_t kSilenceMs = 2'000;
  const std::string address_;
  int64_t seen_ms_ = ClientClock().NowMs();
  bool told_ = false;
};

// Until the worker is drained, or refused.
absl::Status WatchSignals(const sigset_t& set, Worker* worker, ConnectionWatch watch,
                          std::atomic<bool>* giving_back) {
  int seen = 0;
  while (true) {
    const absl::Status status = worker->Wait(absl::ZeroDuration());
    if (status.code() != absl::StatusCode::kDeadlineExceeded) return status;
    watch.Look(worker->stats());
    const timespec tick = {.tv_sec = 0, .tv_nsec = seen == 0 ? 200'000'000 : 10'000'000};
    if (sigtimedwait(&set, nullptr, &tick) < 0) continue;
    if (++seen == 1) {
      worker->Drain();
    } else {
      *giving_back = true;
      worker->Cancel();
    }
  }
}

}  // namespace

int RunWork(const std::vector<std::string>& args) {
  CommandFlags common("work", kUsage);
  WorkFlags flags;
  common.table().AddList("queue", &flags.queues, "queue to work on (required); repeatable");
  common.table().AddInt("slots", &flags.slots, "tasks at once", {.min = 1, .max = 1000});
  common.table().AddDuration("timeout", &flags.timeout_ms, "limit of one execution; 0 = none");
  common.table().AddString("worker_id", &flags.worker_id, "name shown to people");
  common.table().AddString("ledger", &flags.ledger, "file to append a line per execution to");
  common.table().AddBool("verbose", &flags.verbose, "a line per execution on standard error");
  std::vector<std::string> positional, command;
  if (const auto code = common.Parse(args, &positional, &command)) return *code;
  if (!positional.empty()) {
    return common.UsageError(absl::StrCat("\"", positional[0], "\": put -- before the command"));
  }
  if (flags.queues.empty()) return common.UsageError("--queue is required");
  if (command.empty()) return common.UsageError("a command is required after --");
  if (const absl::Status status = FindProgram(command[0]); !status.ok()) {
    return Complain("work", status);
  }
  Ledger ledger;
  if (const absl::Status status = ledger.Open(flags.ledger); !status.ok()) {
    return common.UsageError(status.message());
  }
  const sigset_t signals = BlockEndSignals();
  std::atomic<bool> giving_back{false};
  WorkerOptions options;
  options.client = common.client();
  // Workers should be back soon after a restart of the server.
  options.client.retry.max = absl::Seconds(2);
  options.worker_id = flags.worker_id;
  options.slots = static_cast<uint32_t>(flags.slots);
  for (const std::string& name : flags.queues) options.queues.push_back({name});
  options.on_finished = [&](const FinishedRun& run) {
    const std::string line = ToJson(run);
    ledger.Write(line);
    if (common.json()) WriteLine(std::cout, line);
    if (flags.verbose) WriteLine(std::cerr, line);
  };
  auto worker = Worker::Create(options, [&](TaskRun& task) {
    return RunTask(task, command, flags.timeout_ms, giving_back);
  });
  if (!worker.ok()) return Complain("work", worker.status());
  const absl::Status status = WatchSignals(
      signals, worker->get(), ConnectionWatch(options.client.address), &giving_back);
  worker->reset();
  return status.ok() ? static_cast<int>(kExitOk) : Complain("work", status);
}

}  // namespace wheelpit
