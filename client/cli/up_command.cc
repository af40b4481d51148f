#include "client/cli/up_command.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/clock.h"
#include "base/option_text.h"
#include "base/options.h"
#include "base/status_macros.h"
#include "client/cli/child_process.h"
#include "client/cli/command_runner.h"
#include "client/cli/local_workers.h"
#include "client/cli/metrics_api_client.h"
#include "client/hpa/hpa.h"
#include "client/hpa/manifest.h"

namespace wheelpit {

const char kUpHelp[] =
    "usage: wheelpit up --hpa=FILE --queue=Q [--slots=1] [options] -- CMD…\n"
    "\n"
    "Runs wheelpit-server and workers on this machine. Each worker runs CMD for every task of queue Q (payload on stdin, result from\n"
    "stdout, failure by exit status), as `wheelpit work` does. Their number follows the autoscaling/v2 HorizontalPodAutoscaler in FILE,\n"
    "by the algorithm of the real controller, which asks the HTTPS metrics API at each sync. Ctrl-C drains and ends everything.\n";

namespace {

using Json = nlohmann::ordered_json;

struct UpOptions {
  std::string hpa_file;
  std::string queue;
  int64_t slots = 1;
  int64_t sync_ms = 15'000;
  int64_t start_timeout_ms = 60'000;
  std::string data_dir;
  std::string ledger;
  int64_t grpc_port = 7070, http_port = 7080, apis_port = 6443;
  std::string server;
  std::vector<std::string> server_flags;
  int64_t timeout_ms = 0;
  bool json = false;
  bool help = false;
  std::vector<std::string> command;
};

void Declare(OptionTable* table, UpOptions* o) {
  table->AddString("hpa", &o->hpa_file, "manifest with the HorizontalPodAutoscaler (required)");
  table->AddString("queue", &o->queue, "queue that the workers serve (required)");
  table->AddInt("slots", &o->slots, "tasks at once per worker", {.min = 1, .max = 1000});
  table->AddDuration("sync", &o->sync_ms, "time between two decisions", {.min = 100, .max = 3'600'000});
  table->AddDuration("timeout", &o->timeout_ms, "limit of one execution of CMD; 0 = none");
  table->AddString("data_dir", &o->data_dir, "the server's data folder; empty = the server's own default");
  table->AddString("ledger", &o->ledger, "file to which workers append a line per finished execution");
  table->AddInt("grpc_port", &o->grpc_port, "0 = any free one", {.min = 0, .max = 65535});
  table->AddInt("http_port", &o->http_port, "0 = any free one", {.min = 0, .max = 65535});
  table->AddInt("apis_port", &o->apis_port, "metrics APIs over HTTPS; 0 = any free one", {.min = 0, .max = 65535});
  table->AddString("server", &o->server, "the wheelpit-server to run; empty = beside this program, else in PATH");
  table->AddList("server_flag", &o->server_flags, "passed on to wheelpit-server as it stands");
  table->AddDuration("start_timeout", &o->start_timeout_ms, "limit for the server to become ready", {.min = 1000, .max = 3'600'000});
  table->AddBool("json", &o->json, "one JSON object a line for programs");
  table->AddBool("help", &o->help, "this text");
}

// What people or programs read of one run. Lines on a terminal overwrite each other between events.
class Reporter {
 public:
  explicit Reporter(bool json) : json_(json), live_(!json && ::isatty(1) == 1) {}

  void Event(absl::string_view name, Json fields, const std::string& text) {
    if (json_) {
      Json line = {{"event", std::string(name)}};
      line.update(fields);
      std::cout << line.dump() << std::endl;
    } else if (!text.empty()) {
      std::cout << (live_ ? "\r\033[K" : "") << text << std::endl;
    }
  }
  // The state now: on a terminal only.
  void Live(const std::string& text) {
    if (live_) std::cout << "\r\033[K" << text << std::flush;
  }

 private:
  const bool json_;
  const bool live_;
};

// The address parts that the server wrote to its ports file.
struct Addresses {
  std::string grpc, http, apis, data_dir;
};

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class Up {
 public:
  Up(UpOptions options, hpa::Spec spec)
      : options_(std::move(options)), out_(options_.json), controller_(spec, {}) {}

  int Run();

 private:
  absl::Status StartServer();
  absl::StatusOr<Addresses> WaitForServer();
  void StartWorkers();
  void Sync();
  void ReportReplicas();
  // Sleeps until a signal, a deadline or `until_ms`; true if it is time to end.
  bool WaitForSignal(int64_t until_ms);
  int Shutdown(int code);

  const UpOptions options_;
  SystemClock clock_;
  Reporter out_;
  hpa::Controller controller_;
  int signals_ = -1;
  bool ending_ = false;
  std::string ports_file_;
  std::unique_ptr<ChildProcess> server_;
  Addresses addresses_;
  std::unique_ptr<LocalWorkers> workers_;
  std::unique_ptr<MetricsApiClient> api_;
  int32_t replicas_ = 0;
  int reported_running_ = -1, reported_draining_ = -1;
};

absl::Status Up::StartServer() {
  char folder[] = "/tmp/wheelpit-up-XXXXXX";
  if (::mkdtemp(folder) == nullptr) return absl::InternalError("cannot make a folder below /tmp");
  ports_file_ = absl::StrCat(folder, "/ports.json");
  ChildOptions child;
  std::string program = options_.server;
  if (program.empty()) {
    program = absl::StrCat(ProgramFolder(), "/wheelpit-server");
    if (::access(program.c_str(), X_OK) != 0) program = "wheelpit-server";
  }
  child.arguments = {program, absl::StrCat("--grpc_port=", options_.grpc_port), absl::StrCat("--http_port=", options_.http_port),
                     absl::StrCat("--apis_port=", options_.apis_port), absl::StrCat("--ports_file=", ports_file_)};
  if (!options_.data_dir.empty()) child.arguments.push_back(absl::StrCat("--data_dir=", options_.data_dir));
  child.arguments.insert(child.arguments.end(), options_.server_flags.begin(), options_.server_flags.end());
  WHEELPIT_ASSIGN_OR_RETURN(ChildProcess process, ChildProcess::Start(child));
  server_ = std::make_unique<ChildProcess>(std::move(process));
  return absl::OkStatus();
}

absl::StatusOr<Addresses> Up::WaitForServer() {
  const int64_t deadline = clock_.NowMs() + options_.start_timeout_ms;
  while (clock_.NowMs() < deadline) {
    if (std::optional<int> status = server_->Poll()) {
      return absl::UnavailableError(absl::StrCat("wheelpit-server ended with status ", *status, "; its message is above"));
    }
    // The server writes the file whole, once it is ready.
    if (absl::StatusOr<std::string> text = ReadFile(ports_file_); text.ok()) {
      const Json json = Json::parse(*text, nullptr, false);
      if (json.is_object() && json.contains("grpc") && json.contains("http") && json.contains("apis")) {
        return Addresses{json["grpc"], json["http"], json["apis"], json.value("data_dir", options_.data_dir)};
      }
    }
    if (WaitForSignal(clock_.NowMs() + 20)) return absl::CancelledError("ended while starting");
  }
  return absl::DeadlineExceededError("wheelpit-server did not become ready in time");
}

void Up::StartWorkers() {
  LocalWorkersOptions workers;
  workers.command = {absl::StrCat(ProgramFolder(), "/wheelpit"), "work", absl::StrCat("--address=", addresses_.grpc),
                     absl::StrCat("--queue=", options_.queue), absl::StrCat("--slots=", options_.slots)};
  if (!options_.ledger.empty()) workers.command.push_back(absl::StrCat("--ledger=", options_.ledger));
  if (options_.timeout_ms > 0) workers.command.push_back(absl::StrCat("--timeout=", options_.timeout_ms, "ms"));
  workers.command.push_back("--");
  workers.command.insert(workers.command.end(), options_.command.begin(), options_.command.end());
  workers.log_file = absl::StrCat(addresses_.data_dir, "/workers.log");
  workers_ = std::make_unique<LocalWorkers>(std::move(workers), [this](absl::string_view event, absl::string_view detail) {
    const bool bad = event == "worker_failed" || event == "worker_killed";
    out_.Event(event, {{"detail", std::string(detail)}}, bad ? absl::StrCat(event, ": ", detail) : "");
  });
}

void Up::ReportReplicas() {
  const int running = workers_->running(), draining = workers_->draining();
  if (running == reported_running_ && draining == reported_draining_) return;
  const bool changed = running != reported_running_;
  reported_running_ = running;
  reported_draining_ = draining;
  out_.Event("replicas", {{"running", running}, {"wanted", replicas_}, {"draining", draining}},
             changed ? absl::StrFormat("replicas %d of %d wanted", running, replicas_) : "");
}

void Up::Sync() {
  const hpa::Scale scale{replicas_, workers_->running(), workers_->running()};
  std::string values;
  const hpa::SyncResult r = controller_.Sync(clock_.NowMs(), scale, [&](const hpa::MetricSpec& metric) {
    hpa::Reading reading = api_->Read(metric, controller_.spec().namespace_name);
    uint64_t sum = 0;
    for (int64_t item : reading.items_milli) sum += static_cast<uint64_t>(item);
    absl::StrAppend(&values, values.empty() ? "" : ", ", metric.name, " ",
                    reading.status.ok() ? hpa::FormatQuantityMilli(static_cast<int64_t>(sum)) : "<unknown>", "/",
                    hpa::FormatQuantityMilli(metric.target_milli), metric.target_type == hpa::TargetType::kValue ? "" : " (avg)");
    return reading;
  });
  Json fields = {{"ok", r.error.empty()},
                 {"value", values},
                 {"spec", replicas_},
                 {"desired", r.desired},
                 {"able_to_scale", r.able_to_scale.reason},
                 {"scaling_active", r.scaling_active.reason},
                 {"scaling_limited", r.scaling_limited.status ? r.scaling_limited.reason : ""}};
  if (!r.error.empty()) fields["error"] = r.error;
  std::string text;
  if (r.rescaled) text = absl::StrCat("new size: ", r.desired, "; reason: ", r.rescale_reason, " (", values, ")");
  if (!r.error.empty()) text = absl::StrCat("unable to fetch metrics, size kept: ", r.error);
  out_.Event("sync", std::move(fields), text);
  out_.Live(absl::StrCat(values, "  replicas ", replicas_, "  ", r.able_to_scale.reason));
  if (r.rescaled) {
    replicas_ = r.desired;
    workers_->SetWanted(replicas_, clock_.NowMs());
  }
}

bool Up::WaitForSignal(int64_t until_ms) {
  const int64_t now = clock_.NowMs();
  const int64_t wait = std::clamp<int64_t>(until_ms - now, 0, 60'000);
  pollfd fd{signals_, POLLIN, 0};
  if (::poll(&fd, 1, static_cast<int>(wait)) > 0) {
    signalfd_siginfo info;
    while (::read(signals_, &info, sizeof(info)) == sizeof(info)) {
      if (info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM) ending_ = true;
    }
  }
  return ending_;
}

int Up::Shutdown(int code) {
  // Workers first: they give back or finish what they hold while the server still answers.
  if (workers_) {
    workers_->SetWanted(0, clock_.NowMs());
    ending_ = false;
    while (workers_->draining() > 0 && !ending_) {  // a second signal skips the wait
      WaitForSignal(std::min(workers_->NextDeadlineMs(), clock_.NowMs() + 1000));
      workers_->Reap(clock_.NowMs());
    }
    ReportReplicas();
  }
  if (server_ && !server_->Poll()) {
    server_->Signal(SIGTERM);
    const int status = server_->Wait();
    if (status != 0 && code == 0) code = 1;
    out_.Event("server_ended", {{"status", status}}, status == 0 ? "" : absl::StrCat("wheelpit-server ended with status ", status));
  }
  if (!ports_file_.empty()) {
    ::unlink(ports_file_.c_str());
    ::rmdir(ports_file_.substr(0, ports_file_.rfind('/')).c_str());
  }
  return code;
}

int Up::Run() {
  sigset_t set;
  ::sigemptyset(&set);
  for (int s : {SIGINT, SIGTERM, SIGCHLD}) ::sigaddset(&set, s);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  signals_ = ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);

  if (absl::Status s = StartServer(); !s.ok()) {
    std::cerr << "wheelpit up: " << s.message() << "\n";
    return Shutdown(1);
  }
  absl::StatusOr<Addresses> addresses = WaitForServer();
  if (!addresses.ok()) {
    std::cerr << "wheelpit up: " << addresses.status().message() << "\n";
    return Shutdown(ending_ ? 0 : 1);
  }
  addresses_ = *std::move(addresses);
  out_.Event("started",
             {{"grpc", addresses_.grpc}, {"http", addresses_.http}, {"apis", addresses_.apis}, {"data_dir", addresses_.data_dir},
              {"pid", ::getpid()}, {"server_pid", server_->pid()}},
             absl::StrCat("gRPC ", addresses_.grpc, ", HTTP http://", addresses_.http, ", metrics APIs https://", addresses_.apis));

  const std::string token_file = absl::StrCat(addresses_.data_dir, "/adapter.token");
  absl::StatusOr<std::string> token = ReadFile(token_file);
  const std::vector<std::string> host_port = absl::StrSplit(addresses_.apis, ':');
  int port = 0;
  if (!token.ok() || host_port.size() != 2 || !absl::SimpleAtoi(host_port[1], &port)) {
    std::cerr << "wheelpit up: no way to the metrics API at " << addresses_.apis << " (" << token.status().message() << ")\n";
    return Shutdown(1);
  }
  api_ = std::make_unique<MetricsApiClient>(host_port[0], port, absl::StrCat(addresses_.data_dir, "/adapter.crt"),
                                            std::string(absl::StripAsciiWhitespace(*token)), absl::Seconds(5));
  StartWorkers();
  replicas_ = std::max(controller_.spec().min_replicas, 1);
  workers_->SetWanted(replicas_, clock_.NowMs());
  int64_t next_sync = clock_.NowMs() + options_.sync_ms;
  for (;;) {
    ReportReplicas();
    if (WaitForSignal(std::min(next_sync, workers_->NextDeadlineMs()))) return Shutdown(0);
    const int64_t now = clock_.NowMs();
    workers_->Reap(now);
    if (std::optional<int> status = server_->Poll()) {
      std::cerr << "wheelpit up: wheelpit-server ended with status " << *status << "\n";
      return Shutdown(1);
    }
    if (now >= next_sync) {
      Sync();
      next_sync = std::max(next_sync + options_.sync_ms, clock_.NowMs());
    }
  }
}

}  // namespace

int RunUp(const std::vector<std::string>& args) {
  UpOptions options;
  OptionTable table;
  Declare(&table, &options);
  const auto usage = [](absl::string_view what) {
    std::cerr << "wheelpit up: " << what << "\nTry: wheelpit up --help\n";
    return 2;
  };
  // What follows `--` is the workers' command, flags of its own included.
  const auto split = std::find(args.begin(), args.end(), "--");
  std::vector<std::string> positional;
  if (absl::Status s = table.ParseFlags({args.begin(), split}, &positional); !s.ok()) return usage(s.message());
  if (options.help) {
    std::cout << kUpHelp << "\noptions:\n" << OptionHelp(table);
    return 0;
  }
  if (!positional.empty()) return usage(absl::StrCat("\"", positional[0], "\" is no option; the command stands after --"));
  if (split != args.end()) options.command.assign(split + 1, args.end());
  if (options.hpa_file.empty()) return usage("--hpa=FILE is required");
  if (options.queue.empty()) return usage("--queue=Q is required");
  if (options.command.empty()) return usage("no command: give one after --");
  if (const absl::Status s = FindProgram(options.command[0]); !s.ok()) {
    std::cerr << "wheelpit up: " << s.message() << "\n";
    return 1;
  }
  absl::StatusOr<std::string> yaml = ReadFile(options.hpa_file);
  if (!yaml.ok()) return usage(yaml.status().message());
  absl::StatusOr<hpa::Spec> spec = hpa::ParseManifest(*yaml);
  if (!spec.ok()) return usage(absl::StrCat(options.hpa_file, ": ", spec.status().message()));
  return Up(std::move(options), *std::move(spec)).Run();
}

}  // namespace wheelpit
