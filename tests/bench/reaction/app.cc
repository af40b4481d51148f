// The application that `reaction_bench.py` scales: counts its requests, and shows the counts in both of the ways that are compared, as
// far as each is asked for: a page for Prometheus to scrape, and reports by libwheelpit when WHEELPIT_ADDRESS names an aggregator.
//
//   reaction_app PORT
//   POST /work           one more reaction_requests_total
//   POST /count/NAME     one more NAME, which exists from then on
//   GET /metrics         all of them
//   GET /healthz         ok
#include <pthread.h>
#include <signal.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/http/http_server.h"
#include "base/http/router.h"
#include "base/sync.h"
#include "client/sdk/reporter.h"

namespace wheelpit::bench {
namespace {

constexpr char kRequests[] = "reaction_requests_total";

// Thread-safe.
class Counters {
 public:
  // `reporter` may be null and outlives this.
  explicit Counters(Reporter* reporter) : reporter_(reporter) {}

  absl::Status Add(const std::string& name, uint64_t n) {
    MutexLock lock(&mu_);
    const auto [it, is_new] = counters_.try_emplace(name);
    Entry& entry = it->second;
    if (is_new && reporter_ != nullptr) {
      Reporter::SeriesSpec spec;
      spec.name = name;
      absl::StatusOr<Reporter::Counter> reported = reporter_->AddCounter(spec);
      if (!reported.ok()) return reported.status();
      entry.reported = *reported;
    }
    entry.total += n;
    if (reporter_ != nullptr && n > 0) entry.reported.Increment(n);
    return absl::OkStatus();
  }

  std::string Page() const {
    std::string page;
    MutexLock lock(&mu_);
    for (const auto& [name, entry] : counters_) absl::StrAppend(&page, "# TYPE ", name, " counter\n", name, " ", entry.total, "\n");
    return page;
  }

 private:
  struct Entry {
    uint64_t total = 0;
    Reporter::Counter reported;
  };
  Reporter* const reporter_;
  mutable Mutex mu_;
  std::map<std::string, Entry> counters_ ABSL_GUARDED_BY(mu_);
};

HttpResponse Answer(const absl::Status& status) {
  return status.ok() ? TextResponse(200, "ok\n") : ErrorTextResponse(500, status.message());
}

ThreadFactory Threads() {
  return [](absl::string_view, absl::AnyInvocable<void()> body) -> absl::AnyInvocable<void()> {
    auto thread = std::make_shared<std::thread>(std::move(body));
    return [thread] { thread->join(); };
  };
}

// Null without an aggregator's address in the environment.
absl::StatusOr<std::unique_ptr<Reporter>> StartReporter() {
  const char* address = std::getenv("WHEELPIT_ADDRESS");
  if (address == nullptr || *address == '\0') return std::unique_ptr<Reporter>();
  ReporterOptions options;
  options.client.address = address;
  options.client.allow_insecure = true;
  return Reporter::Create(options);
}

int Run(int port) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  auto reporter = StartReporter();
  if (!reporter.ok()) return std::cerr << reporter.status() << "\n", 1;
  Counters counters(reporter->get());
  // Declared, so that it is 0 before the first request.
  if (absl::Status declared = counters.Add(kRequests, 0); !declared.ok()) return std::cerr << declared << "\n", 1;
  HttpRouter router;
  router.Add("POST", "/work", [&](const HttpRequest&, const PathParts&) { return Answer(counters.Add(kRequests, 1)); });
  router.Add("POST", "/count/{name}", [&](const HttpRequest&, const PathParts& parts) { return Answer(counters.Add(parts[0], 1)); });
  router.Add("GET", "/metrics", [&](const HttpRequest&, const PathParts&) { return TextResponse(200, counters.Page()); });
  router.Add("GET", "/healthz", [](const HttpRequest&, const PathParts&) { return TextResponse(200, "ok\n"); });
  SystemClock clock;
  HttpServerOptions options;
  options.host = "0.0.0.0";
  options.port = port;
  auto server = HttpServer::Start(options, [&](const HttpRequest& request) { return router.Handle(request); }, Threads(), &clock);
  if (!server.ok()) return std::cerr << server.status() << "\n", 1;
  int which = 0;
  ::sigwait(&ends, &which);
  (*server)->Stop(1000);
  return 0;  // the Reporter sends what is left and says goodbye
}

}  // namespace
}  // namespace wheelpit::bench

int main(int argc, char** argv) {
  int port = 0;
  if (argc != 2 || !absl::SimpleAtoi(argv[1], &port)) {
    std::cerr << "usage: reaction_app PORT\n";
    return 2;
  }
  return wheelpit::bench::Run(port);
}
