// Where closures run: one thread's inbox. The engine thread of a shard is one; a simulation steps another by hand.
#pragma once

#include "absl/functional/any_invocable.h"

namespace wheelpit {

// Thread-safe. Runs closures one after the other in the order posted. A closure posted after shutdown is destroyed unrun.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual void Post(absl::AnyInvocable<void()> fn) = 0;
  // Too much is waiting: whoever takes new work from outside refuses it now (kResourceExhausted OVERLOADED). Posts still go through.
  virtual bool Overloaded() const { return false; }
};

}  // namespace wheelpit
