#include "server/app/data_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace wheelpit {
namespace {

absl::Status DirError(const std::string& path, absl::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat("data_dir ", path, ": ", what, ": ", std::strerror(errno), "; name another folder with --data_dir"));
}

absl::Status MakeFolder(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0) return absl::OkStatus();
  const int error = errno;
  struct stat info {};
  if (error == EEXIST && ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return absl::OkStatus();
  errno = error == EEXIST ? ENOTDIR : error;
  return DirError(path, "cannot make it");
}

}  // namespace

absl::Status PrepareDataDir(const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    if (path[slash - 1] != '/') WHEELPIT_RETURN_IF_ERROR(MakeFolder(path.substr(0, slash), 0755));
  }
  WHEELPIT_RETURN_IF_ERROR(MakeFolder(path, 0700));
  if (::access(path.c_str(), R_OK | W_OK | X_OK) != 0) return DirError(path, "cannot write to it");
  return absl::OkStatus();
}

absl::Status WriteFileWhole(const std::string& path, absl::string_view content) {
  const std::string temporary = absl::StrCat(path, ".tmp.", ::getpid());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  const auto fail = [&](absl::string_view what) {
    return absl::FailedPreconditionError(absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(errno)));
  };
  if (fd < 0) return fail("write");
  const bool written = ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size());
  ::close(fd);
  if (!written) return fail("write");
  if (::rename(temporary.c_str(), path.c_str()) != 0) return fail("rename a file to");
  return absl::OkStatus();
}

}  // namespace wheelpit
