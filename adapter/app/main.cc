// wheelpit-adapter: the Kubernetes metrics APIs over an aggregator, a Prometheus server or both.
//
// Exit status: 0 after SIGTERM or SIGINT, 1 when it could not start, 2 for wrong flags or, with
// --check-config, a wrong file.
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "adapter/app/adapter_program.h"
#include "adapter/app/flags.h"
#include "adapter/app/rule_loader.h"
#include "base/code_pages.h"
#include "base/log.h"

namespace wheelpit::adapter {
namespace {

constexpr int kStartFailed = 1;
constexpr int kUsage = 2;
constexpr absl::Duration kGrace = absl::Seconds(10);
// After it what only the start needed is let go: two thirds of the resident set were code.
constexpr absl::Duration kStartLasts = absl::Seconds(10);
constexpr int kDebugVerbosity = 4;

std::string GetEnv(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? "" : value;
}

int Complain(const absl::Status& status, int code) {
  std::cerr << "wheelpit-adapter: " << status.message() << "\n";
  return code;
}

// Signals that end the program, as a file descriptor; blocked in every thread made from here on.
int BlockSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

// Until a signal comes, or for so long at most. False if none came.
bool AwaitSignal(int signals, absl::Duration longest) {
  pollfd wait = {signals, POLLIN, 0};
  const int timeout_ms =
      longest == absl::InfiniteDuration() ? -1 : static_cast<int>(absl::ToInt64Milliseconds(longest));
  signalfd_siginfo info{};
  while (true) {
    const int ready = ::poll(&wait, 1, timeout_ms);
    if (ready == 0) return false;
    if (ready > 0 && ::read(signals, &info, sizeof info) == sizeof info) return true;
  }
}

// gRPC's defaults suit programs that always wait on their channels; here nobody does between two
// calls. With them an aggregator that comes back at another address was found after up to 15 s, with
// these after 2 at most. Before the first channel, and before there are threads.
void LookAfterChannels() {
  ::setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "100", /*overwrite=*/0);
  // The system's resolver blocks a thread of gRPC's own and needs nobody to wait for it.
  ::setenv("GRPC_DNS_RESOLVER", "native", /*overwrite=*/0);
}

int Main(int argc, char** argv) {
  const absl::StatusOr<AdapterFlags> flags =
      ParseAdapterFlags(std::vector<std::string>(argv + 1, argv + argc));
  if (!flags.ok()) return Complain(flags.status(), kUsage);
  if (flags->help) {
    std::cout << "usage: wheelpit-adapter [--flag=value]…\n\nThe Kubernetes metrics APIs, from an "
                 "aggregator or a Prometheus server.\n\n"
              << AdapterFlagsHelp();
    return 0;
  }
  if (flags->version) {
    std::cout << "wheelpit-adapter " << WHEELPIT_VERSION << "\n";
    return 0;
  }
  if (flags->check_config) {
    const absl::StatusOr<std::string> checked = CheckRuleFile(flags->config);
    if (!checked.ok()) return Complain(checked.status(), kUsage);
    std::cout << *checked << "\n";
    return 0;
  }
  if (flags->verbosity >= kDebugVerbosity) SetLogLevel(LogLevel::kDebug);
  const int signals = BlockSignals();
  LookAfterChannels();
  auto program = AdapterProgram::Start(*flags, &GetEnv, WHEELPIT_VERSION);
  if (!program.ok()) return Complain(program.status(), kStartFailed);
  AdapterServer& server = (*program)->server();
  std::cout << "{\"apis_port\":" << server.port() << "}" << std::endl;
  if (!AwaitSignal(signals, kStartLasts)) {
    ReleaseCodePages();
    AwaitSignal(signals, absl::InfiniteDuration());
  }
  // Clients hear of it before the door closes; a second signal closes it at once.
  server.BeginShutdown();
  AwaitSignal(signals, flags->shutdown_delay);
  server.Stop(kGrace);
  return 0;
}

}  // namespace
}  // namespace wheelpit::adapter

int main(int argc, char** argv) {
  // A few threads at work at once: heaps of their own would cost more memory than they save time.
  ::mallopt(M_ARENA_MAX, 1);
  // Debian's absl looks for lock cycles at every Lock, also in gRPC's, which makes each three
  // times as dear. Tests look.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return wheelpit::adapter::Main(argc, argv);
}
