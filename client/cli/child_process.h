// Child processes of the command line: started in a process group of their own, ended with this process, never through a shell.
//
// Not thread-safe. The owner reaps: Poll() after SIGCHLD, or Wait().
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace wheelpit {

struct ChildOptions {
  std::vector<std::string> arguments;              // arguments[0] is looked up in PATH
  std::vector<std::string> environment;            // NAME=value, added to ours
  std::string output_file;                         // stdout and stderr appended there; empty = inherited
  bool inherit_stdin = false;                      // else /dev/null
};

class ChildProcess {
 public:
  // kNotFound if the program does not exist, kInternal if it cannot be started.
  static absl::StatusOr<ChildProcess> Start(const ChildOptions& options);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  // Kills what still runs.
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  // Sends a signal to the process alone; nothing if it has ended.
  void Signal(int signal) const;
  // Sends a signal to its whole group.
  void SignalGroup(int signal) const;
  // The exit status if it has ended: its code, or 128 + signal.
  std::optional<int> Poll();
  int Wait();
  // Whether it has children of its own, that is, runs something now.
  bool HasChildren() const;

 private:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}
  pid_t pid_ = -1;
  std::optional<int> status_;
};

// Folder of the running program, for finding its siblings.
std::string ProgramFolder();

}  // namespace wheelpit
