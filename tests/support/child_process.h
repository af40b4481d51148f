// A program as a child process: its standard output line by line, its end.
//
//   ChildProcess child({"/usr/bin/prometheus", "--version"});
//   std::string line;
//   while (child.ReadLine(&line)) …
//   EXPECT_EQ(child.Terminate(), 0);
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

extern char** environ;

namespace wheelpit {

// Not thread-safe. The destructor kills.
class ChildProcess {
 public:
  // Standard error goes the way of standard output with `both`, else to the test's own.
  explicit ChildProcess(std::vector<std::string> arguments, bool both = false) {
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    int pipe[2] = {-1, -1};
    if (::pipe2(pipe, O_CLOEXEC) != 0) return;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe[1], 1);
    if (both) posix_spawn_file_actions_adddup2(&actions, pipe[1], 2);
    if (::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) != 0) pid_ = -1;
    posix_spawn_file_actions_destroy(&actions);
    ::close(pipe[1]);
    out_ = pipe[0];
  }
  ~ChildProcess() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      Wait();
    }
    if (out_ >= 0) ::close(out_);
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  bool started() const { return pid_ > 0; }
  void Signal(int signal) { ::kill(pid_, signal); }
  // False at the end of the output.
  bool ReadLine(std::string* line) {
    line->clear();
    char c = 0;
    while (true) {
      const ssize_t n = ::read(out_, &c, 1);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      if (c == '\n') return true;
      line->push_back(c);
    }
  }
  // Reads to the end of the output and waits; the exit status, or 128 + signal.
  int Wait(std::string* rest = nullptr) {
    std::string line;
    while (ReadLine(&line)) {
      if (rest != nullptr) rest->append(line + "\n");
    }
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  int Terminate() {
    Signal(SIGTERM);
    return Wait();
  }

 private:
  pid_t pid_ = -1;
  int out_ = -1;
};

}  // namespace wheelpit
