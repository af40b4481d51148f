// The threads of the adapter; nothing else in it makes any.
#pragma once

#include "base/http/worker_pool.h"

namespace wheelpit::adapter {

// Threads with names that debuggers show (15 bytes at most).
ThreadFactory NamedThreads();

}  // namespace wheelpit::adapter
