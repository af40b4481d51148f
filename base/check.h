// Broken invariants end the process, in release builds too.
//
//   WHEELPIT_CHECK(lsn > last, "lsn %d after %d", lsn, last);
#pragma once

#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace wheelpit {
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition, absl::string_view detail);
}  // namespace wheelpit

#define WHEELPIT_CHECK(condition, ...)                                                           \
  do {                                                                                           \
    if (!(condition)) [[unlikely]]                                                               \
      ::wheelpit::CheckFailed(__FILE__, __LINE__, #condition, ::absl::StrFormat("" __VA_ARGS__)); \
  } while (false)
