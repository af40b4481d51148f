#include "adapter/app/secret_files.h"

#include <fcntl.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace wheelpit::adapter {
namespace {

constexpr mode_t kOwnerOnly = S_IRUSR | S_IWUSR;

absl::Status Failed(absl::string_view what, const std::string& path, int error) {
  const std::string message = absl::StrCat(what, " ", path, ": ", std::strerror(error));
  return error == ENOENT ? absl::NotFoundError(message) : absl::FailedPreconditionError(message);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

absl::Status WriteAll(int fd, absl::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failed("writing", path, errno);
    content.remove_prefix(static_cast<size_t>(n));
  }
  return ::fsync(fd) == 0 ? absl::OkStatus() : Failed("syncing", path, errno);
}

}  // namespace

absl::Status WriteSecretFile(const std::string& path, absl::string_view content) {
  const std::string temporary = path + ".tmp";
  // A leftover may have other rights: it must not be written into.
  if (::unlink(temporary.c_str()) != 0 && errno != ENOENT)
    return Failed("removing", temporary, errno);
  {
    const Descriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kOwnerOnly));
    if (file.get() < 0) return Failed("creating", temporary, errno);
    WHEELPIT_RETURN_IF_ERROR(WriteAll(file.get(), content, temporary));
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return Failed("renaming to", path, errno);
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "."
                             : slash == 0               ? "/"
                                                        : path.substr(0, slash);
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0) return Failed("opening", folder, errno);
  return ::fsync(directory.get()) == 0 ? absl::OkStatus() : Failed("syncing", folder, errno);
}

absl::StatusOr<std::string> LoadOrMakeToken(const std::string& path) {
  const absl::StatusOr<std::string> content = ReadSmallFile(path);
  if (content.ok()) {
    std::string token(absl::StripAsciiWhitespace(*content));
    if (!token.empty()) {
      if (::chmod(path.c_str(), kOwnerOnly) != 0) return Failed("making private", path, errno);
      return token;
    }
  } else if (!absl::IsNotFound(content.status())) {
    return content.status();
  }
  std::array<unsigned char, 32> random;
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1)
    return absl::InternalError("no random bytes for a token");
  const absl::string_view bytes(reinterpret_cast<const char*>(random.data()), random.size());
  std::string token = absl::WebSafeBase64Escape(bytes);
  WHEELPIT_RETURN_IF_ERROR(WriteSecretFile(path, token + "\n"));
  return token;
}

}  // namespace wheelpit::adapter
