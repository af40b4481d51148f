// Carries one checkpoint through: chunks are taken on the engine thread between rounds, written by the background executor, and
// made current only once the journal is durable up to every chunk's as_of.
//
// Engine thread. One at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/executor.h"
#include "server/journal/durable_queue.h"
#include "server/journal/fold.h"
#include "server/journal/journal.h"

namespace wheelpit {

class Checkpointer {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;

  // Everything outlives the checkpointer, except that closures on `background` may run after it; those touch only what they own.
  // `engine` runs closures on the engine thread.
  Checkpointer(Journal* journal, DurableQueue* durable, Executor* background, Executor* engine, std::vector<Fold*> folds);
  ~Checkpointer();

  bool running() const { return run_ != nullptr; }
  // Starts one, or joins the one under way. `done` runs once, later or at once.
  void Start(Done done);
  // Takes a chunk if the writer keeps up. True if it did something.
  bool Step();

 private:
  struct Run;
  void FinishRun(absl::Status status);
  void FinishWhenDurable();

  Journal* const journal_;
  DurableQueue* const durable_;
  Executor* const background_;
  Executor* const engine_;
  const std::vector<Fold*> folds_;
  std::shared_ptr<Run> run_;
  std::vector<Done> waiting_;
};

}  // namespace wheelpit
