// Log lines for operators: one line per event, `key=value`, to a sink that app/ injects (default: stderr).
//
//   Log(LogLevel::kWarning, "journal_tail_cut", {{"segment", "12"}, {"bytes", "4096"}});
//
// Thread-safe. No payloads, no secrets. Lines of one event beyond 10 in a second are counted and summed up in a later one.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace wheelpit {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

using LogField = std::pair<absl::string_view, std::string>;

void Log(LogLevel level, absl::string_view event, std::initializer_list<LogField> fields = {});
// For fields that cost something to make.
bool LogEnabled(LogLevel level);
void SetLogLevel(LogLevel level);
// `sink` gets whole lines without the newline; nullptr = stderr. Set before threads start.
void SetLogSink(std::function<void(absl::string_view line)> sink);

}  // namespace wheelpit
