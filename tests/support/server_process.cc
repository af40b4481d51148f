#include "tests/support/server_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace wheelpit {

absl::Status ServerProcess::Spawn() {
  Kill();
  output_.clear();
  std::vector<std::string> args = {options_.binary, "--grpc_port=0", "--http_port=0", "--apis_port=0",
                                   absl::StrCat("--data_dir=", options_.data_dir)};
  args.insert(args.end(), options_.flags.begin(), options_.flags.end());
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) return absl::InternalError("pipe");
  const std::string errors = absl::StrCat(options_.data_dir, ".err");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe[1], 1);
  posix_spawn_file_actions_addopen(&actions, 2, errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const int error = ::posix_spawn(&pid_, options_.binary.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(pipe[1]);
  out_ = pipe[0];
  if (error != 0) {
    pid_ = -1;
    return absl::InternalError(absl::StrCat("cannot start ", options_.binary, ": ", std::strerror(error)));
  }
  return absl::OkStatus();
}

bool ServerProcess::ReadLine(std::string* line) {
  line->clear();
  char c = 0;
  while (true) {
    const ssize_t n = ::read(out_, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    output_.push_back(c);
    if (c == '\n') return true;
    line->push_back(c);
  }
}

absl::Status ServerProcess::Start() {
  if (absl::Status status = Spawn(); !status.ok()) return status;
  std::string line;
  while (ReadLine(&line)) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("grpc")) continue;
    grpc_ = json["grpc"];
    http_ = json["http"];
    apis_ = json["apis"];
    return absl::OkStatus();
  }
  const int status = Reap();
  return absl::UnavailableError(absl::StrCat("the server ended with status ", status, ": ", output_));
}

int ServerProcess::RunToEnd() {
  if (!Spawn().ok()) return -1;
  std::string line;
  while (ReadLine(&line)) {
  }
  return Reap();
}

int ServerProcess::Reap() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  ::close(out_);
  out_ = -1;
  std::ifstream errors(absl::StrCat(options_.data_dir, ".err"));
  std::stringstream text;
  text << errors.rdbuf();
  output_ += text.str();
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void ServerProcess::Kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  Reap();
}

int ServerProcess::Terminate() {
  if (pid_ <= 0) return -1;
  ::kill(pid_, SIGTERM);
  std::string line;
  while (ReadLine(&line)) {
  }
  return Reap();
}

}  // namespace wheelpit
