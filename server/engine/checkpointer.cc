#include "server/engine/checkpointer.h"

#include <algorithm>
#include <string>
#include <utility>

namespace wheelpit {
namespace {
// Chunks handed to the background and not yet written: bounds the memory of a checkpoint to about 1 MB.
constexpr int kChunksInFlightMax = 2;
}  // namespace

struct Checkpointer::Run {
  // Background only, until the run ends.
  std::unique_ptr<CheckpointWriter> writer;
  absl::Status write_status;
  // Engine thread only.
  size_t fold = 0;
  int chunks_in_flight = 0;
  bool taken = false;
  Lsn as_of_max = 0;
};

Checkpointer::Checkpointer(Journal* journal, DurableQueue* durable, Executor* background, Executor* engine, std::vector<Fold*> folds)
    : journal_(journal), durable_(durable), background_(background), engine_(engine), folds_(std::move(folds)) {}

Checkpointer::~Checkpointer() = default;

void Checkpointer::Start(Done done) {
  waiting_.push_back(std::move(done));
  if (run_ != nullptr) return;
  auto run = std::make_shared<Run>();
  // From what both folds have taken in: the counter fold counts a record only when it is durable.
  absl::StatusOr<std::unique_ptr<CheckpointWriter>> writer = journal_->BeginCheckpoint(durable_->advanced());
  run_ = run;
  if (!writer.ok()) return FinishRun(writer.status());
  run->writer = *std::move(writer);
  run->as_of_max = journal_->last_lsn();
  for (Fold* fold : folds_) fold->BeginCheckpoint();
}

bool Checkpointer::Step() {
  if (run_ == nullptr || run_->taken || run_->chunks_in_flight >= kChunksInFlightMax) return false;
  std::string bytes;
  Lsn as_of = 0;
  while (run_->fold < folds_.size() && !folds_[run_->fold]->NextChunk(&bytes, &as_of)) ++run_->fold;
  if (run_->fold == folds_.size()) {
    run_->taken = true;
    if (run_->chunks_in_flight == 0) FinishWhenDurable();
    return true;
  }
  run_->as_of_max = std::max(run_->as_of_max, as_of);
  ++run_->chunks_in_flight;
  background_->Post([this, run = run_, id = folds_[run_->fold]->id(), as_of, bytes = std::move(bytes)] {
    if (run->write_status.ok()) run->write_status = run->writer->Add(id, as_of, bytes);
    engine_->Post([this, run] {
      if (run != run_) return;
      --run->chunks_in_flight;
      if (run->taken && run->chunks_in_flight == 0) FinishWhenDurable();
    });
  });
  return true;
}

// A chunk may reflect records that are appended but not yet durable; were it current before them, a crash would leave effects
// without causes.
void Checkpointer::FinishWhenDurable() {
  durable_->After(std::max(run_->as_of_max, journal_->last_lsn()), [this, run = run_](const absl::Status& durable) {
    if (run != run_) return;
    if (!durable.ok()) return FinishRun(durable);
    background_->Post([this, run] {
      absl::Status status = run->write_status.ok() ? run->writer->Finish() : run->write_status;
      run->writer.reset();
      engine_->Post([this, run, status = std::move(status)] {
        if (run == run_) FinishRun(status);
      });
    });
  });
}

void Checkpointer::FinishRun(absl::Status status) {
  run_.reset();
  std::vector<Done> waiting = std::move(waiting_);
  waiting_.clear();
  for (Done& done : waiting) done(status);
}

}  // namespace wheelpit
