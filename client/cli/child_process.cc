#include "client/cli/child_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"

extern char** environ;

namespace wheelpit {
namespace {

int ExitCode(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

// Between fork and exec only calls that are safe after fork in a threaded process.
[[noreturn]] void RunChild(char* const* argv, char* const* envp, int in, int out, pid_t parent, int report) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // the parent ended before the line above
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  if (in >= 0) ::dup2(in, 0);
  if (out >= 0) {
    ::dup2(out, 1);
    ::dup2(out, 2);
  }
  ::execvpe(argv[0], argv, envp);
  const int error = errno;
  (void)!::write(report, &error, sizeof(error));
  ::_exit(127);
}

std::vector<char*> Pointers(std::vector<std::string>* texts) {
  std::vector<char*> pointers;
  for (std::string& text : *texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

absl::StatusOr<ChildProcess> ChildProcess::Start(const ChildOptions& options) {
  if (options.arguments.empty()) return absl::InvalidArgumentError("no command given");
  std::vector<std::string> arguments = options.arguments;
  std::vector<std::string> environment;
  for (char** e = environ; *e != nullptr; ++e) environment.emplace_back(*e);
  environment.insert(environment.end(), options.environment.begin(), options.environment.end());
  const std::vector<char*> argv = Pointers(&arguments);
  const std::vector<char*> envp = Pointers(&environment);

  const int in = options.inherit_stdin ? -1 : ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  int out = -1;
  if (!options.output_file.empty()) {
    out = ::open(options.output_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (out < 0) {
      const int error = errno;
      ::close(in);
      return absl::InternalError(absl::StrCat("cannot write ", options.output_file, ": ", std::strerror(error)));
    }
  }
  int report[2];
  if (::pipe2(report, O_CLOEXEC) != 0) return absl::InternalError(absl::StrCat("pipe: ", std::strerror(errno)));
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) RunChild(argv.data(), envp.data(), in, out, parent, report[1]);
  const int fork_error = errno;
  ::close(report[1]);
  if (in >= 0) ::close(in);
  if (out >= 0) ::close(out);
  int exec_error = 0;
  const bool failed = pid > 0 && ::read(report[0], &exec_error, sizeof(exec_error)) == sizeof(exec_error);
  ::close(report[0]);
  if (pid < 0) return absl::InternalError(absl::StrCat("fork: ", std::strerror(fork_error)));
  if (failed) {
    ::waitpid(pid, nullptr, 0);
    const std::string text = absl::StrCat("cannot run ", options.arguments[0], ": ", std::strerror(exec_error));
    return exec_error == ENOENT ? absl::NotFoundError(text) : absl::InternalError(text);
  }
  return ChildProcess(pid);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), status_(other.status_) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(status_, other.status_);
  return *this;
}

ChildProcess::~ChildProcess() {
  if (pid_ <= 0 || Poll()) return;
  SignalGroup(SIGKILL);
  Wait();
}

void ChildProcess::Signal(int signal) const {
  if (pid_ > 0 && !status_) ::kill(pid_, signal);
}

void ChildProcess::SignalGroup(int signal) const {
  if (pid_ > 0 && !status_) ::kill(-pid_, signal);
}

std::optional<int> ChildProcess::Poll() {
  if (status_ || pid_ <= 0) return status_;
  int wait_status = 0;
  if (::waitpid(pid_, &wait_status, WNOHANG) == pid_) status_ = ExitCode(wait_status);
  return status_;
}

int ChildProcess::Wait() {
  while (!status_) {
    int wait_status = 0;
    const pid_t r = ::waitpid(pid_, &wait_status, 0);
    if (r == pid_) {
      status_ = ExitCode(wait_status);
    } else if (errno != EINTR) {
      status_ = 127;
    }
  }
  return *status_;
}

bool ChildProcess::HasChildren() const {
  // A child hangs below the thread that forked it, so every thread is asked.
  const std::string folder = absl::StrCat("/proc/", pid_, "/task");
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return false;
  bool found = false;
  while (const dirent* entry = ::readdir(dir)) {
    std::ifstream file(absl::StrCat(folder, "/", entry->d_name, "/children"));
    pid_t child = 0;
    found |= static_cast<bool>(file >> child);
  }
  ::closedir(dir);
  return found;
}

std::string ProgramFolder() {
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof(path) - 1);
  if (n <= 0) return ".";
  const std::string text(path, static_cast<size_t>(n));
  return text.substr(0, text.rfind('/'));
}

}  // namespace wheelpit
