// `wheelpit report`: one count or one gauge value, acknowledged.
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <iostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/sdk/channel.h"
#include "client/sdk/reporter.h"

namespace wheelpit {
namespace {

constexpr char kUsage[] =
    "usage: wheelpit report NAME VALUE [--label=NAME=VALUE]... [--gauge]\n"
    "\n"
    "Adds VALUE to a counter (its name ends in _total), or sets a gauge, and returns when that is\n"
    "durable. A gauge is gone when it was not set for the server's ingest_gauge_ttl (1m). It is a\n"
    "reporter's: name one with --reporter_id to set the same gauge again.\n";

}  // namespace

int RunReport(const std::vector<std::string>& args) {
  CommandFlags common("report", kUsage);
  std::vector<std::string> labels;
  bool gauge = false;
  std::string description, unit, reporter_id;
  common.table().AddList("label", &labels, "NAME=VALUE; repeatable");
  common.table().AddBool("gauge", &gauge, "set a gauge instead of adding to a counter");
  common.table().AddString("description", &description, "the family's HELP text");
  common.table().AddString("unit", &unit, "the family's unit, for example seconds");
  common.table().AddString("reporter_id", &reporter_id, "who reports; empty = this process");
  std::vector<std::string> positional;
  if (const auto code = common.Parse(args, &positional)) return *code;
  if (positional.size() != 2) return common.UsageError("NAME and VALUE are required");
  double value = 0;
  if (!absl::SimpleAtod(positional[1], &value)) {
    return common.UsageError(absl::StrCat("VALUE \"", positional[1], "\" is not a number"));
  }
  if (!gauge && (!std::isfinite(value) || value < 0)) {
    return common.UsageError("a counter only grows: VALUE must be finite and >= 0");
  }
  Reporter::SeriesSpec spec;
  spec.name = positional[0];
  spec.help = description;
  spec.unit = unit;
  for (const std::string& text : labels) {
    const auto pair = ParsePair(text);
    if (!pair.ok()) return common.UsageError(pair.status().message());
    spec.labels.push_back(*pair);
  }
  ReporterOptions options;
  options.client = common.client();
  options.reporter_id = reporter_id.empty()
                            ? absl::StrCat("cli/", HostName().substr(0, 64), "/", RandomHex(8))
                            : reporter_id;
  options.interval = absl::Milliseconds(100);
  options.goodbye_timeout = absl::Seconds(1);
  // Without a goodbye a counter would have a silent reporter, and its rate would be unknown.
  options.gauges_stay = gauge;
  std::atomic<bool> rejected{false};
  options.on_reject = [&rejected](const ReporterOptions::Reject& reject) {
    rejected = true;
    std::cerr << "wheelpit report: " << reject.reason << ": " << reject.message << "\n";
  };
  auto reporter = Reporter::Create(options);
  if (!reporter.ok()) return Complain("report", reporter.status());
  if (gauge) {
    auto handle = (*reporter)->AddGauge(spec);
    if (!handle.ok()) return Complain("report", handle.status());
    handle->Set(value);
  } else {
    auto handle = (*reporter)->AddCounter(spec);
    if (!handle.ok()) return Complain("report", handle.status());
    if (value == std::floor(value) && value < 9e15) {
      handle->Increment(static_cast<uint64_t>(value));
    } else {
      handle->Add(value);
    }
  }
  const absl::Status status = (*reporter)->Flush(common.client().call_timeout);
  if (!status.ok()) return Complain("report", status);
  return rejected ? kExitFailed : kExitOk;
}

}  // namespace wheelpit
