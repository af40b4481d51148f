#include "client/cli/command_runner.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "client/sdk/channel.h"

namespace wheelpit {
namespace {

using End = CommandResult::End;

constexpr size_t kErrorTailBytes = 4096;
constexpr int kCancelPollMs = 50;
// Between SIGTERM and SIGKILL.
constexpr int64_t kPatienceMs = 2'000;

class Fd {
 public:
  Fd() = default;
  ~Fd() { Close(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  void Reset(int fd) {
    Close();
    fd_ = fd;
  }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

bool MakePipe(Fd* read, Fd* write) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return false;
  read->Reset(ends[0]);
  write->Reset(ends[1]);
  return true;
}

void NonBlocking(const Fd& fd) {
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

std::vector<char*> Pointers(std::vector<std::string>* texts) {
  std::vector<char*> pointers;
  for (std::string& text : *texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

class Run {
 public:
  explicit Run(const CommandOptions& options) : options_(options) {}

  CommandResult Go() {
    if (const int error = Start(); error != 0) {
      result_.end = End::kNotStarted;
      result_.error_tail =
          absl::StrCat("cannot run ", options_.arguments[0], ": ", std::strerror(error));
      return std::move(result_);
    }
    began_ms_ = ClientClock().NowMs();
    while (!exited_) Step();
    // What it had written is in the pipes still; what it left running is ended.
    ::kill(-pid_, SIGKILL);
    ReadOutput();
    ReadError();
    return std::move(result_);
  }

 private:
  int Start() {
    Fd in_read, out_write, error_write;
    if (!MakePipe(&in_read, &in_) || !MakePipe(&out_, &out_write) ||
        !MakePipe(&error_, &error_write)) {
      return errno;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in_read.get(), 0);
    posix_spawn_file_actions_adddup2(&actions, out_write.get(), 1);
    posix_spawn_file_actions_adddup2(&actions, error_write.get(), 2);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attributes, 0);
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    std::vector<std::string> arguments = options_.arguments;
    std::vector<std::string> environment;
    for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
    environment.insert(environment.end(), options_.environment.begin(), options_.environment.end());
    const std::vector<char*> argv = Pointers(&arguments);
    const std::vector<char*> envp = Pointers(&environment);
    const int error = posix_spawnp(&pid_, argv[0], &actions, &attributes, argv.data(), envp.data());
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error != 0) return error;
    pidfd_.Reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    for (const Fd* fd : {&in_, &out_, &error_}) NonBlocking(*fd);
    if (options_.input.empty()) in_.Close();
    return 0;
  }

  void Step() {
    std::array<pollfd, 4> polls{};
    size_t n = 0;
    const auto watch = [&](const Fd& fd, int16_t events) {
      if (fd.open()) polls[n++] = {fd.get(), events, 0};
    };
    watch(pidfd_, POLLIN);
    watch(in_, POLLOUT);
    watch(out_, POLLIN);
    watch(error_, POLLIN);
    ::poll(polls.data(), n, kCancelPollMs);
    if (in_.open()) WriteInput();
    ReadOutput();
    ReadError();
    CheckEnds();
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      exited_ = true;
      if (result_.end != End::kExited) return;
      result_.end = WIFSIGNALED(status) ? End::kSignalled : End::kExited;
      result_.code = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    }
  }

  void WriteInput() {
    while (written_ < options_.input.size()) {
      const ssize_t n =
          ::write(in_.get(), options_.input.data() + written_, options_.input.size() - written_);
      if (n < 0 && errno == EAGAIN) return;
      // It need not read everything: EPIPE is its choice.
      if (n < 0) break;
      written_ += static_cast<size_t>(n);
    }
    in_.Close();
  }

  void ReadOutput() {
    std::array<char, 65536> buffer;
    while (out_.open()) {
      const ssize_t n = ::read(out_.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) {
        out_.Close();
        return;
      }
      if (result_.output.size() + static_cast<size_t>(n) > options_.output_bytes_max) {
        if (result_.end == End::kExited || result_.end == End::kSignalled) {
          result_.end = End::kOutputTooLarge;
        }
        continue;
      }
      result_.output.append(buffer.data(), static_cast<size_t>(n));
    }
  }

  void ReadError() {
    std::array<char, 4096> buffer;
    while (error_.open()) {
      const ssize_t n = ::read(error_.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) {
        error_.Close();
        return;
      }
      result_.error_tail.append(buffer.data(), static_cast<size_t>(n));
      if (result_.error_tail.size() > kErrorTailBytes) {
        result_.error_tail.erase(0, result_.error_tail.size() - kErrorTailBytes);
      }
    }
  }

  void CheckEnds() {
    const int64_t now = ClientClock().NowMs();
    if (result_.end == End::kExited) {
      if (options_.timeout_ms > 0 && now >= began_ms_ + options_.timeout_ms) {
        result_.end = End::kTimedOut;
      } else if (options_.cancelled && options_.cancelled()) {
        result_.end = End::kCancelled;
      }
    }
    if (result_.end == End::kExited) return;
    if (kill_at_ms_ == 0) {
      kill_at_ms_ = now + kPatienceMs;
      ::kill(-pid_, SIGTERM);
    } else if (now >= kill_at_ms_) {
      ::kill(-pid_, SIGKILL);
    }
  }

  const CommandOptions& options_;
  CommandResult result_;
  pid_t pid_ = -1;
  Fd pidfd_, in_, out_, error_;
  size_t written_ = 0;
  bool exited_ = false;
  int64_t began_ms_ = 0;
  int64_t kill_at_ms_ = 0;
};

}  // namespace

absl::Status FindProgram(const std::string& program) {
  int error = ENOENT;
  const auto runs = [&error](const std::string& path) {
    struct stat file;
    if (::stat(path.c_str(), &file) != 0) return false;
    if (S_ISREG(file.st_mode) && ::access(path.c_str(), X_OK) == 0) return true;
    error = EACCES;
    return false;
  };
  if (absl::StrContains(program, '/')) {
    if (runs(program)) return absl::OkStatus();
  } else {
    const char* path = ::getenv("PATH");
    for (const absl::string_view folder :
         absl::StrSplit(path == nullptr ? "/bin:/usr/bin" : path, ':')) {
      if (runs(absl::StrCat(folder.empty() ? "." : folder, "/", program))) return absl::OkStatus();
    }
  }
  return absl::NotFoundError(absl::StrCat("cannot run ", program, ": ", std::strerror(error)));
}

CommandResult RunCommand(const CommandOptions& options) {
  WHEELPIT_CHECK(!options.arguments.empty());
  // A program may end without having read its input.
  static const bool ignored = ::signal(SIGPIPE, SIG_IGN) != SIG_ERR;
  WHEELPIT_CHECK(ignored);
  return Run(options).Go();
}

}  // namespace wheelpit
