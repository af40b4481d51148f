// Threads for tests: what app/ gives to rooms that need some.
#pragma once

#include <memory>
#include <thread>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"

namespace wheelpit {

// A ThreadFactory (base/http/worker_pool.h) on std::thread.
inline absl::AnyInvocable<void()> StartStdThread(absl::string_view /*name*/, absl::AnyInvocable<void()> body) {
  auto thread = std::make_shared<std::thread>(std::move(body));
  return [thread] { thread->join(); };
}

}  // namespace wheelpit
