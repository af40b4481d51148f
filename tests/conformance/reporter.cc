// A process that reports series of every awkward kind for as long as its standard input is open: what a scraper must get right.
//
//   conformance_reporter ADDRESS     prints `ready` when all of it is acknowledged; exit 0 after the input ended
#include <cmath>
#include <iostream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "client/sdk/reporter.h"

namespace wheelpit {
namespace {

using Labels = std::vector<LabelPair>;

bool Run(const std::string& address) {
  ReporterOptions options;
  options.client.address = address;
  options.reporter_id = "conformance";
  options.interval = absl::Milliseconds(100);
  auto reporter = Reporter::Create(options);
  if (!reporter.ok()) {
    std::cerr << reporter.status() << "\n";
    return false;
  }
  auto series = [](std::string name, Labels labels, std::string help = "", std::string unit = "") {
    return Reporter::SeriesSpec{std::move(name), std::move(help), std::move(unit), std::move(labels)};
  };
  auto count = [&](double value, Reporter::SeriesSpec spec) {
    auto counter = (*reporter)->AddCounter(spec);
    if (!counter.ok()) return std::cerr << counter.status() << "\n", void();
    if (value == std::floor(value) && value < 1e19) {
      counter->Increment(static_cast<uint64_t>(value));
    } else {
      counter->Add(value);
    }
  };
  auto gauge = [&](double value, Reporter::SeriesSpec spec) {
    auto handle = (*reporter)->AddGauge(spec);
    if (!handle.ok()) return std::cerr << handle.status() << "\n", void();
    handle->Set(value);
  };
  count(1, series("conformance_requests_total", {{"path", "a\"b\\c\nd"}, {"shop", "north"}}, "Help with \\ and\na line, \"quoted\"."));
  count(2, series("conformance_requests_total", {{"path", "größe ☃ \U0001F680"}, {"shop", "north"}}));
  count(3, series("conformance_requests_total", {{"path", "{}=,#\t "}, {"shop", ""}}));
  count(4, series("conformance_requests_total", {{"path", "\\n is not a line"}}));
  count(5, series("conformance_requests_total", {}));
  count(6, series("conformance_requests_total", {{"instance", "kept:1"}, {"job", "mine"}, {"namespace", "shop"}, {"pod", "web-1"}}));
  count(9007199254740992.0, series("conformance_large_total", {}));
  count(0.1, series("conformance_seconds_total", {}, "Time spent.", "seconds"));
  count(0, series("conformance_idle_total", {}));
  gauge(-0.0, series("conformance_zero", {}));
  gauge(1e-300, series("conformance_small", {}));
  gauge(1.7976931348623157e308, series("conformance_huge", {}));
  gauge(100000, series("conformance_round", {}));
  gauge(0.1 + 0.2, series("conformance_inexact", {}));
  gauge(std::numeric_limits<double>::infinity(), series("conformance_bounds", {{"at", "top"}}));
  gauge(-std::numeric_limits<double>::infinity(), series("conformance_bounds", {{"at", "bottom"}}));
  gauge(std::nan(""), series("conformance_bounds", {{"at", "nowhere"}}));
  gauge(21.5, series("conformance_room_celsius", {{"room", "kitchen"}}, "How warm it is.", "celsius"));
  const absl::Status flushed = (*reporter)->Flush(absl::Minutes(5));
  if (!flushed.ok() || (*reporter)->stats().samples_rejected > 0) {
    std::cerr << flushed << ", " << (*reporter)->stats().samples_rejected << " samples were refused\n";
    return false;
  }
  std::cout << "ready" << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
  }
  return true;
}

}  // namespace
}  // namespace wheelpit

int main(int argc, char** argv) { return argc == 2 && wheelpit::Run(argv[1]) ? 0 : 1; }
