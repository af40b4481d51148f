// wheelpit-server: reads its options, runs the app until SIGTERM or SIGINT, and drains.
//
// Exit status: 0 after a drain, 1 when it could not start or its journal failed, 2 for wrong options.
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "base/log.h"
#include "base/option_text.h"
#include "server/app/app.h"
#include "server/app/config.h"

namespace wheelpit {
namespace {

constexpr int kStartFailed = 1;
constexpr int kUsage = 2;
constexpr size_t kHelpColumns = 100;

std::string GetEnv(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? "" : value;
}

int Complain(const absl::Status& status, int code) {
  std::cerr << "wheelpit-server: " << status.message() << "\n";
  return code;
}

LogLevel LevelOf(const std::string& name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "warning") return LogLevel::kWarning;
  if (name == "error") return LogLevel::kError;
  return LogLevel::kInfo;
}

void PrintHelp(const OptionTable& table) {
  std::cout << "usage: wheelpit-server [--option=value]…\n\nThe aggregator: a durable work queue, exact counts, and the metrics APIs.\n\n"
            << OptionHelp(table, kHelpColumns);
}

// Signals that end the server, as a file descriptor; blocked in every thread that is made from here on.
int BlockSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int Serve(const ServerConfig& config) {
  const int signals = BlockSignals();
  const int changes = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  absl::StatusOr<std::unique_ptr<App>> app = App::Start(config, [changes] {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(changes, &one, sizeof one);
  });
  if (!app.ok()) return Complain(app.status(), kStartFailed);
  bool announced = false;
  while (true) {
    pollfd waits[] = {{signals, POLLIN, 0}, {changes, POLLIN, 0}};
    if (::poll(waits, 2, -1) < 0) continue;
    uint64_t count = 0;
    if (::read(changes, &count, sizeof count) == sizeof count) {
      if (absl::Status failure = (*app)->failure(); !failure.ok()) return Complain(failure, kStartFailed);
      if ((*app)->ready() && !std::exchange(announced, true)) {
        if (absl::Status written = (*app)->WritePorts(); !written.ok()) return Complain(written, kStartFailed);
        std::cout << (*app)->PortsJson() << std::flush;
      }
    }
    signalfd_siginfo info{};
    if (::read(signals, &info, sizeof info) == sizeof info) break;
  }
  (*app)->Drain();
  return 0;
}

int Main(int argc, char** argv) {
  ServerConfig config;
  config.data_dir = DefaultDataDir(::geteuid() == 0, GetEnv("XDG_STATE_HOME"), GetEnv("HOME"));
  OptionTable table;
  AddServerOptions(&config, &table);
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) environment.emplace_back(*variable);
  const absl::Status loaded = LoadServerConfig(std::vector<std::string>(argv + 1, argv + argc), environment, &table, &config);
  if (config.help) {
    PrintHelp(table);
    return 0;
  }
  if (config.version) {
    std::cout << "wheelpit-server " << WHEELPIT_VERSION << "\n";
    return 0;
  }
  if (!loaded.ok()) return Complain(loaded, kUsage);
  if (config.print_config) {
    std::cout << DescribeConfig(table);
    return 0;
  }
  if (absl::Status doors = CheckDoors(config); !doors.ok()) return Complain(doors, kUsage);
  SetLogLevel(LevelOf(config.log_level));
  return Serve(config);
}

}  // namespace
}  // namespace wheelpit

int main(int argc, char** argv) {
  // Debian's absl looks for lock cycles at every Lock, also in gRPC's, which makes each three
  // times as dear. Tests look.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return wheelpit::Main(argc, argv);
}
