#include "base/log.h"

#include <algorithm>
#include <atomic>
#include <cstdio>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/sync.h"

namespace wheelpit {
namespace {

constexpr int kLinesPerSecond = 10;
constexpr int64_t kSecondNs = 1'000'000'000;

struct EventBudget {
  int64_t second_start_ns = 0;
  int lines = 0;
  int64_t dropped = 0;
};

struct LogState {
  const SystemClock clock;
  // Relaxed: a line more or less around a change of level is no harm.
  std::atomic<int> level{static_cast<int>(LogLevel::kInfo)};
  Mutex mu;
  std::function<void(absl::string_view)> sink ABSL_GUARDED_BY(mu);
  absl::flat_hash_map<std::string, EventBudget> budgets ABSL_GUARDED_BY(mu);
};

LogState& State() {
  // Never destroyed: threads may log while the process ends.
  static LogState* const state = new LogState;
  return *state;
}

absl::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

bool NeedsQuotes(absl::string_view value) {
  return value.empty() || std::any_of(value.begin(), value.end(), [](char c) {
           return c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f;
         });
}

void AppendField(std::string* line, absl::string_view key, absl::string_view value) {
  if (NeedsQuotes(value)) {
    absl::StrAppend(line, " ", key, "=\"", absl::Utf8SafeCEscape(value), "\"");
  } else {
    absl::StrAppend(line, " ", key, "=", value);
  }
}

}  // namespace

void Log(LogLevel level, absl::string_view event, std::initializer_list<LogField> fields) {
  LogState& state = State();
  if (!LogEnabled(level)) return;
  const int64_t now_ns = state.clock.MonotonicNanos();
  int64_t dropped = 0;
  std::function<void(absl::string_view)> sink;
  {
    MutexLock lock(&state.mu);
    EventBudget& budget = state.budgets[std::string(event)];
    if (budget.lines == 0 || now_ns - budget.second_start_ns >= kSecondNs) {
      budget.second_start_ns = now_ns;
      budget.lines = 0;
    }
    if (budget.lines >= kLinesPerSecond) {
      ++budget.dropped;
      return;
    }
    ++budget.lines;
    std::swap(dropped, budget.dropped);
    sink = state.sink;
  }
  std::string line = absl::StrCat(
      "time=", absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", state.clock.WallNow(), absl::UTCTimeZone()),
      " level=", LevelName(level), " event=", event);
  for (const auto& [key, value] : fields) AppendField(&line, key, value);
  if (dropped > 0) AppendField(&line, "lines_dropped", absl::StrCat(dropped));
  if (sink) {
    sink(line);
    return;
  }
  line.push_back('\n');
  std::fwrite(line.data(), 1, line.size(), stderr);
}

bool LogEnabled(LogLevel level) {
  return static_cast<int>(level) >= State().level.load(std::memory_order_relaxed);
}

void SetLogLevel(LogLevel level) {
  State().level.store(static_cast<int>(level), std::memory_order_relaxed);
}

void SetLogSink(std::function<void(absl::string_view line)> sink) {
  LogState& state = State();
  MutexLock lock(&state.mu);
  state.sink = std::move(sink);
}

}  // namespace wheelpit
