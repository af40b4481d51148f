#include "adapter/app/threads.h"

#include <pthread.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>

namespace wheelpit::adapter {

ThreadFactory NamedThreads() {
  return [](absl::string_view name, absl::AnyInvocable<void()> body) -> absl::AnyInvocable<void()> {
    auto thread = std::make_shared<std::thread>(
        [name = std::string(name.substr(0, 15)), run = std::move(body)]() mutable {
          pthread_setname_np(pthread_self(), name.c_str());
          run();
        });
    return [thread] { thread->join(); };
  };
}

}  // namespace wheelpit::adapter
