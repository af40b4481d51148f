// `wheelpit load`: requests at random times, with a ledger of what was acknowledged.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/command.h"
#include "client/loadgen/load.h"

namespace wheelpit {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kUsage[] =
    "usage: wheelpit load --http=URL [--route=/heavywork] [flags]\n"
    "       wheelpit load --queue=Q [flags]\n"
    "\n"
    "Requests arrive at random (a Poisson process) at --arrival_rate a second, falling by\n"
    "--decay_rate: rate(t) = arrival_rate * exp(-decay_rate * t). They are sent when they arrive,\n"
    "whatever the answers do. --profile=20:10s,80:30s gives a rate for each span instead.\n"
    "Ends after --duration, after --until requests, or at SIGINT; then prints a summary.\n"
    "\n"
    "--ledger appends a JSON line for each acknowledged request: id, at_ms, latency_ms, payload.\n";

struct LoadFlags {
  double arrival_rate = 10;
  double decay_rate = 0;
  int64_t duration_ms = 60'000;
  int64_t until = 0;
  std::string profile;
  int64_t connections = 64;
  int64_t seed = 1;
};

std::atomic<bool> stop_asked{false};

// The second one ends it at once.
void OnSignal(int number) {
  stop_asked = true;
  signal(number, SIG_DFL);
}

void Declare(OptionTable* table, LoadFlags* f, LoadOptions* o) {
  table->AddDouble("arrival_rate", &f->arrival_rate, "requests a second at the start",
                   {.min = 0, .max = 1e6});
  table->AddDouble("decay_rate", &f->decay_rate, "how fast the rate falls, 1/s",
                   {.min = 0, .max = 1e6});
  table->AddDuration("duration", &f->duration_ms, "how long; 0 = without end");
  table->AddInt("until", &f->until, "end after this many requests; 0 = no such limit");
  table->AddString("profile", &f->profile, "RATE:DURATION,… instead of rates and duration");
  table->AddString("http", &o->http_url, "gateway's URL, for example http://127.0.0.1:7080");
  table->AddString("route", &o->route, "path of the POST requests");
  table->AddString("queue", &o->queue, "submit to this queue over gRPC instead");
  table->AddString("payload_dir", &o->payload_dir, "payloads are files of this folder");
  table->AddSize("payload_bytes_min", &o->payload_bytes_min, "of files to use");
  table->AddSize("payload_bytes_max", &o->payload_bytes_max, "of files to use");
  table->AddSize("payload_bytes", &o->payload_bytes, "size of the payload without a folder",
                 {.min = 0, .max = 16 << 20});
  table->AddInt("connections", &f->connections, "requests in flight at most",
                {.min = 1, .max = 10'000});
  table->AddDuration("request_timeout", &o->timeout_ms, "limit of one request", {.min = 1});
  table->AddString("ledger", &o->ledger, "file to append a line per acknowledged request to");
  table->AddInt("seed", &f->seed, "of the arrival times and the choice of payloads");
}

void Print(const LoadSummary& s, bool json) {
  if (json) {
    const Json line = {{"arrivals", s.arrivals},
                       {"acknowledged", s.acknowledged},
                       {"failed", s.failed},
                       {"unsent", s.unsent},
                       {"first_error", s.first_error},
                       {"seconds", s.seconds},
                       {"latency_p50_ms", s.latency_p50_ms},
                       {"latency_p99_ms", s.latency_p99_ms},
                       {"latency_max_ms", s.latency_max_ms}};
    std::cout << line.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
    return;
  }
  std::cout << absl::StreamFormat(
      "%d requests in %.1f s: %d acknowledged, %d failed; latency ms p50 %.1f, p99 %.1f, max "
      "%.1f\n",
      s.arrivals, s.seconds, s.acknowledged, s.failed, s.latency_p50_ms, s.latency_p99_ms,
      s.latency_max_ms);
  if (s.unsent > 0) {
    std::cout << s.unsent << " more still waited for a connection and were not sent\n";
  }
  if (!s.first_error.empty()) std::cout << "first error: " << s.first_error << "\n";
}

}  // namespace

int RunLoad(const std::vector<std::string>& args) {
  CommandFlags common("load", kUsage);
  LoadFlags flags;
  LoadOptions options;
  Declare(&common.table(), &flags, &options);
  std::vector<std::string> positional;
  if (const auto code = common.Parse(args, &positional)) return *code;
  if (!positional.empty()) return common.UsageError("no arguments are expected");
  if (options.http_url.empty() == options.queue.empty()) {
    return common.UsageError("give --http or --queue");
  }
  if (flags.profile.empty()) {
    options.profile =
        RateProfile::Decaying(flags.arrival_rate, flags.decay_rate,
                              flags.duration_ms > 0 ? static_cast<double>(flags.duration_ms) / 1000
                                                    : std::numeric_limits<double>::infinity());
  } else {
    absl::StatusOr<RateProfile> profile = RateProfile::Parse(flags.profile);
    if (!profile.ok()) return common.UsageError(profile.status().message());
    options.profile = *std::move(profile);
  }
  options.client = common.client();
  options.requests_max = static_cast<uint64_t>(flags.until);
  options.connections = static_cast<int>(flags.connections);
  options.seed = static_cast<uint64_t>(flags.seed);
  options.stop = &stop_asked;
  signal(SIGINT, OnSignal);
  signal(SIGTERM, OnSignal);
  signal(SIGPIPE, SIG_IGN);
  const bool live = isatty(STDERR_FILENO) == 1 && !common.json();
  if (live) {
    options.on_progress = [](uint64_t sent, uint64_t acknowledged, uint64_t failed) {
      std::cerr << "\r\033[K" << sent << " sent, " << acknowledged << " acknowledged, " << failed
                << " failed" << std::flush;
    };
  }
  const absl::StatusOr<LoadSummary> summary = RunLoad(options);
  if (live) std::cerr << "\r\033[K" << std::flush;
  if (absl::IsInvalidArgument(summary.status())) {
    return common.UsageError(summary.status().message());
  }
  if (!summary.ok()) return Complain("load", summary.status());
  Print(*summary, common.json());
  if (summary->failed == 0) return kExitOk;
  if (summary->acknowledged > 0) return kExitPartly;
  return summary->unreachable == summary->failed ? kExitUnreachable : kExitFailed;
}

}  // namespace wheelpit
