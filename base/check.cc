#include "base/check.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_format.h"

namespace wheelpit {

void CheckFailed(const char* file, int line, const char* condition, absl::string_view detail) {
  const std::string text = absl::StrFormat("%s:%d: check failed: %s%s%s\n", file, line, condition,
                                           detail.empty() ? "" : ": ", detail);
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
  std::abort();
}

}  // namespace wheelpit
