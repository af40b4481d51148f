#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/errors.h"
#include "server/journal_log/file.h"

namespace wheelpit {
namespace {

absl::Status FileError(absl::string_view what, absl::string_view path, int error) {
  const std::string message = absl::StrCat(what, " ", path, ": ", strerror(error));
  if (error == ENOSPC || error == EDQUOT)
    return MakeError(absl::StatusCode::kResourceExhausted, "DISK_FULL", message);
  if (error == ENOENT) return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND", message);
  return MakeError(absl::StatusCode::kUnavailable, "IO", message);
}

class PosixFile : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixFile() override { close(fd_); }

  absl::Status WriteAt(uint64_t offset, absl::Span<const absl::string_view> pieces) override {
    std::vector<iovec> left;
    left.reserve(pieces.size());
    for (absl::string_view piece : pieces) {
      if (!piece.empty()) left.push_back({const_cast<char*>(piece.data()), piece.size()});
    }
    size_t next = 0;
    while (next < left.size()) {
      const int count = static_cast<int>(std::min<size_t>(left.size() - next, 512));
      const ssize_t n = pwritev(fd_, &left[next], count, static_cast<off_t>(offset));
      if (n < 0) {
        if (errno == EINTR) continue;
        return FileError("write", path_, errno);
      }
      offset += static_cast<uint64_t>(n);
      for (size_t written = static_cast<size_t>(n); next < left.size() && written > 0;) {
        const size_t step = std::min(written, left[next].iov_len);
        left[next].iov_base = static_cast<char*>(left[next].iov_base) + step;
        left[next].iov_len -= step;
        written -= step;
        if (left[next].iov_len == 0) ++next;
      }
    }
    return absl::OkStatus();
  }

  absl::Status SyncData() override {
    // No retry, not even after EINTR: a failed sync may have dropped what it could not write.
    if (fdatasync(fd_) != 0) return FileError("sync", path_, errno);
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> ReadAt(uint64_t offset, size_t n, char* out) const override {
    size_t done = 0;
    while (done < n) {
      const ssize_t r = pread(fd_, out + done, n - done, static_cast<off_t>(offset + done));
      if (r < 0) {
        if (errno == EINTR) continue;
        return FileError("read", path_, errno);
      }
      if (r == 0) break;
      done += static_cast<size_t>(r);
    }
    return done;
  }

  absl::StatusOr<uint64_t> Size() const override {
    struct stat st;
    if (fstat(fd_, &st) != 0) return FileError("stat", path_, errno);
    return static_cast<uint64_t>(st.st_size);
  }

  absl::Status Allocate(uint64_t bytes) override {
    int r;
    do {
      r = fallocate(fd_, 0, 0, static_cast<off_t>(bytes));
    } while (r != 0 && errno == EINTR);
    if (r == 0) return absl::OkStatus();
    if (errno != EOPNOTSUPP) return FileError("allocate", path_, errno);
    const auto size = Size();
    if (!size.ok()) return size.status();
    if (*size < bytes && ftruncate(fd_, static_cast<off_t>(bytes)) != 0)
      return FileError("resize", path_, errno);
    return absl::OkStatus();
  }

 private:
  const int fd_;
  const std::string path_;
};

class PosixLock : public FileLock {
 public:
  explicit PosixLock(int fd) : fd_(fd) {}
  ~PosixLock() override { close(fd_); }

 private:
  const int fd_;
};

class RealFileSystem : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(absl::string_view path, OpenMode mode) override {
    int flags = O_CLOEXEC;
    switch (mode) {
      case OpenMode::kRead:
        flags |= O_RDONLY;
        break;
      case OpenMode::kReadWrite:
        flags |= O_RDWR;
        break;
      case OpenMode::kCreate:
        flags |= O_RDWR | O_CREAT | O_TRUNC;
        break;
    }
    std::string name(path);
    const int fd = open(name.c_str(), flags, 0600);
    if (fd < 0) return FileError("open", path, errno);
    return std::make_unique<PosixFile>(fd, std::move(name));
  }

  absl::Status Rename(absl::string_view from, absl::string_view to) override {
    if (rename(std::string(from).c_str(), std::string(to).c_str()) != 0)
      return FileError("rename", from, errno);
    return absl::OkStatus();
  }

  absl::Status Link(absl::string_view from, absl::string_view to) override {
    if (link(std::string(from).c_str(), std::string(to).c_str()) != 0)
      return FileError("link", from, errno);
    return absl::OkStatus();
  }

  absl::Status Unlink(absl::string_view path) override {
    if (unlink(std::string(path).c_str()) != 0) return FileError("unlink", path, errno);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> List(absl::string_view dir) override {
    DIR* d = opendir(std::string(dir).c_str());
    if (d == nullptr) return FileError("list", dir, errno);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = readdir(d)) {
      const absl::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    const int error = errno;
    closedir(d);
    if (error != 0) return FileError("list", dir, error);
    return names;
  }

  absl::Status CreateDir(absl::string_view dir) override {
    const std::string path(dir);
    for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
      const std::string part = path.substr(0, end);
      if (mkdir(part.c_str(), 0700) != 0 && errno != EEXIST && errno != EISDIR)
        return FileError("create", part, errno);
      if (end == std::string::npos) break;
    }
    struct stat st;
    if (stat(path.c_str(), &st) != 0) return FileError("open", path, errno);
    if (!S_ISDIR(st.st_mode)) return FileError("open", path, ENOTDIR);
    return absl::OkStatus();
  }

  absl::Status SyncDir(absl::string_view dir) override {
    const int fd = open(std::string(dir).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return FileError("open", dir, errno);
    const int r = fsync(fd);
    const int error = errno;
    close(fd);
    if (r != 0) return FileError("sync", dir, error);
    return absl::OkStatus();
  }

  absl::StatusOr<DiskSpace> Space(absl::string_view dir) override {
    struct statvfs st;
    if (statvfs(std::string(dir).c_str(), &st) != 0) return FileError("free space of", dir, errno);
    return DiskSpace{st.f_bavail * st.f_frsize, st.f_blocks * st.f_frsize};
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(absl::string_view path) override {
    const int fd = open(std::string(path).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return FileError("open", path, errno);
    char pid[32] = {};
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      if (read(fd, pid, sizeof pid - 1) < 0) pid[0] = 0;
      close(fd);
      if (error != EWOULDBLOCK) return FileError("lock", path, error);
      return MakeError(absl::StatusCode::kFailedPrecondition, "LOCKED",
                       absl::StrCat(path, " is held by process ", absl::StripAsciiWhitespace(pid),
                                    ": stop it, or give this one a folder of its own"));
    }
    const std::string own = absl::StrCat(getpid(), "\n");
    if (ftruncate(fd, 0) != 0 || pwrite(fd, own.data(), own.size(), 0) < 0) {
      const int error = errno;
      close(fd);
      return FileError("write", path, error);
    }
    return std::make_unique<PosixLock>(fd);
  }
};

}  // namespace

FileSystem* PosixFileSystem() {
  static FileSystem* const real = new RealFileSystem;
  return real;
}

}  // namespace wheelpit
