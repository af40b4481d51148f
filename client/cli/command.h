// What the commands of `wheelpit` share: the table entry, exit codes, connection flags, help.
//
// A new command is a file of its own and a line in main.cc's table.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/options.h"
#include "client/sdk/options.h"

namespace wheelpit {

struct Command {
  const char* name;
  // One line of `wheelpit --help`.
  const char* summary;
  // `args`: what follows the name. Returns the exit code.
  int (*run)(const std::vector<std::string>& args);
};

enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,
  kExitUsage = 2,
  // No connection, or no answer in time.
  kExitUnreachable = 3,
  // Some of several things worked.
  kExitPartly = 4,
};
int ExitCodeOf(const absl::Status& status);
// `wheelpit submit: QUEUE_FULL: …` on stderr; returns the exit code.
int Complain(absl::string_view command, const absl::Status& status);

// A command's flags: those of every command, and its own.
class CommandFlags {
 public:
  // `usage`: the first lines of --help.
  CommandFlags(std::string name, std::string usage);
  OptionTable& table() { return table_; }
  // Reads environment (WHEELPIT_ADDRESS, …) and flags. A value: the exit code to end with (help,
  // version, usage error). What follows `--` goes to `rest` if that is given, else to `positional`.
  std::optional<int> Parse(std::vector<std::string> args, std::vector<std::string>* positional,
                           std::vector<std::string>* rest = nullptr);
  int UsageError(absl::string_view message) const;

  const std::string& name() const { return name_; }
  const ClientOptions& client() const { return client_; }
  bool json() const { return json_; }

 private:
  void PrintHelp() const;

  const std::string name_;
  const std::string usage_;
  OptionTable table_;
  ClientOptions client_;
  int64_t call_timeout_ms_ = 10'000;
  bool json_ = false;
  bool help_ = false;
};

// `key=value`; kInvalidArgument without `=`.
absl::StatusOr<LabelPair> ParsePair(absl::string_view text);
absl::StatusOr<std::string> ReadWholeFile(const std::string& path);

int RunSubmit(const std::vector<std::string>& args);
int RunWork(const std::vector<std::string>& args);
int RunLoad(const std::vector<std::string>& args);
int RunReport(const std::vector<std::string>& args);
int RunQueues(const std::vector<std::string>& args);
int RunTasks(const std::vector<std::string>& args);
int RunQuery(const std::vector<std::string>& args);

}  // namespace wheelpit
