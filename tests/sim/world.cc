#include "tests/sim/world.h"

#include "absl/strings/str_cat.h"

namespace wheelpit::sim {
namespace {
constexpr int64_t kStartMs = 1'700'000'000'000;
constexpr char kFolder[] = "/journal";
}  // namespace

World::World(uint64_t seed) : seed_(seed), clock_(kStartMs), disk_({.seed = seed ^ 0x5eed}) {}

World::~World() { Kill(); }

absl::Status World::Start() {
  ++life_;
  SegmentedLogOptions options;
  options.dir = kFolder;
  options.segment_bytes = 64 << 10;  // small, so that a run turns over many
  options.record_bytes_max = 32 << 10;
  options.disk_low_bytes = 1 << 20;
  options.random_seed = seed_ * 1000 + life_;
  absl::StatusOr<std::unique_ptr<SegmentedLog>> log = SegmentedLog::Open(options, &disk_);
  if (!log.ok()) return log.status();
  log_ = *std::move(log);
  EngineOptions engine;
  engine.queue.queue_defaults.lease_ttl_ms = 4000;
  engine.queue.queue_defaults.max_attempts = 6;
  engine.queue.queue_defaults.max_losses = 60;
  engine.queue.queue_defaults.retention_ms = 7 * 86'400'000LL;
  engine.queue.queue_defaults.dedupe_window_ms = 7 * 86'400'000LL;
  engine.queue.session_grace_ms = 3000;
  engine.queue.payload_cache_bytes = 8 << 10;  // small, so that payloads are read back
  engine.ingest.series_ttl_ms = 0;
  engine.checkpoint_bytes = 256 << 10;
  engine.checkpoint_interval_ms = 30'000;
  engine.carry_time = [this](TimeMs t) {
    if (t > clock_.NowMs()) clock_.Set(t);
  };
  engine_ = Engine::Create(engine, &clock_, log_.get(), &background_, seed_ * 7919 + life_);
  if (absl::Status recovered = engine_->Recover(nullptr); !recovered.ok()) {
    Kill();
    return recovered;
  }
  for (int i = 0; i < 10 && !engine_->ready(); ++i) {
    log_->Commit();
    engine_->RunOnce();
    if (!engine_->failure().ok()) break;
  }
  if (!engine_->ready()) {
    absl::Status why = engine_->failure();
    Kill();
    return why.ok() ? absl::InternalError("not ready after recovery") : why;
  }
  return absl::OkStatus();
}

void World::Kill() {
  background_.Drop();
  if (engine_) engine_->Shutdown();
  engine_.reset();
  log_.reset();
  disk_.Crash();
}

void World::PowerCut() {
  Kill();
  disk_.PowerCut();
  disk_.Restart();
}

void World::Settle() {
  for (int quiet = 0, rounds = 0; quiet < 3 && rounds < 10'000; ++rounds) {
    const bool worked = log_->Commit() | engine_->RunOnce() | background_.Step();
    quiet = worked ? 0 : quiet + 1;
  }
}

}  // namespace wheelpit::sim
