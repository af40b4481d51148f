// Runs a program once: input on its stdin, output from its stdout, in a process group of its own
// that is ended with it.
//
//   CommandResult r = RunCommand({.arguments = {"xz", "-9e"}, .input = payload, .timeout_ms =
//   60'000, .cancelled = [] { return false; }});
//
// Thread-safe. This process ignores SIGPIPE from the first call on. Blocks until the program has
// ended, and what it left running in its group is killed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace wheelpit {

struct CommandOptions {
  std::vector<std::string> arguments;    // arguments[0] is looked up in PATH
  std::vector<std::string> environment;  // NAME=value, added to ours
  absl::string_view input;
  int64_t timeout_ms = 0;  // 0 = none
  size_t output_bytes_max = size_t{1} << 20;
  // Looked at several times a second; true ends the program.
  std::function<bool()> cancelled;
};

struct CommandResult {
  enum class End { kExited, kSignalled, kTimedOut, kCancelled, kOutputTooLarge, kNotStarted };
  End end = End::kExited;
  int code = 0;            // exit code, or the signal's number
  std::string output;      // stdout
  std::string error_tail;  // the last 4 KiB of stderr; kNotStarted: why
};

// kNotFound, with the text of an execution that could not start, unless `program` is a file that
// can be run, or the name of one in $PATH.
absl::Status FindProgram(const std::string& program);

CommandResult RunCommand(const CommandOptions& options);

}  // namespace wheelpit
