#include "base/small_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace wheelpit {
namespace {

constexpr size_t kFileBytesMax = 1 << 20;

absl::Status Failed(absl::string_view what, const std::string& path, int error) {
  const std::string message = absl::StrCat(what, " ", path, ": ", std::strerror(error));
  return error == ENOENT ? absl::NotFoundError(message) : absl::FailedPreconditionError(message);
}

}  // namespace

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Failed("opening", path, errno);
  std::string content;
  std::array<char, 8192> buffer;
  absl::Status failure;
  while (true) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) failure = Failed("reading", path, errno);
    if (n <= 0) break;
    content.append(buffer.data(), static_cast<size_t>(n));
    if (content.size() > kFileBytesMax) {
      failure = absl::InvalidArgumentError(absl::StrCat(path, ": longer than 1 MiB"));
      break;
    }
  }
  ::close(fd);
  if (!failure.ok()) return failure;
  return content;
}

}  // namespace wheelpit
