// A real engine on real threads, for tests that go through sockets: what app/ does, without doors.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "server/app/shard_threads.h"
#include "server/app/threads.h"
#include "server/engine/engine.h"
#include "server/journal/mem_journal.h"
#include "server/journal_log/segmented_log.h"
#include "server/rpc/rpc_server.h"

namespace wheelpit {

class LiveEngine {
 public:
  // `dir` empty = memory journal.
  explicit LiveEngine(const std::string& dir = "", EngineOptions options = {}) : background_("background") {
    if (dir.empty()) {
      journal_ = std::make_unique<MemJournal>();
    } else {
      SegmentedLogOptions log;
      log.dir = dir;
      log.segment_bytes = 4 << 20;
      log.disk_low_bytes = 0;
      log.disk_low_percent = 0;
      log.random_seed = 7;
      auto opened = SegmentedLog::Open(log, PosixFileSystem());
      open_status_ = opened.status();
      if (!opened.ok()) return;
      journal_ = *std::move(opened);
    }
    options.carry_time = [this](TimeMs ms) { clock_.AdvanceTo(ms); };
    engine_ = Engine::Create(options, &clock_, journal_.get(), &background_, 7);
    query_ = QueryEngine::Create(&engine_->store(), nullptr);
    context_.engine = engine_.get();
    context_.queue = &engine_->queue();
    context_.ingest = &engine_->ingest();
    context_.store = &engine_->store();
    context_.query = query_.get();
    context_.journal = journal_.get();
    context_.clock = &clock_;
    context_.queue_options = options.queue;
    context_.version = "test";
    context_.facts = [this] { return ServerFacts{engine_->history_id(), engine_->epoch(), 1, ""}; };
    rpc_ = std::make_unique<RpcServer>(&context_);
    threads_ = std::make_unique<ShardThreads>(engine_.get(), journal_.get(), &clock_);
    engine_->SetStateObserver([this] { changed_.Set(); });
  }
  ~LiveEngine() { Stop(); }

  // Binds port 0, recovers and waits until it is ready.
  absl::Status Start() {
    if (!open_status_.ok()) return open_status_;
    if (absl::Status status = rpc_->Start({.address = "127.0.0.1:0"}); !status.ok()) return status;
    threads_->Start([this] { return engine_->Recover(nullptr).ok(); });
    changed_.Wait();
    if (engine_->ready()) rpc_->SetState(ServingState::kServing);
    return engine_->failure();
  }

  // Ends at once, as a crash does for everything that was not durable.
  void Stop() {
    if (std::exchange(stopped_, true) || engine_ == nullptr) return;
    rpc_->StartDraining();
    rpc_->Shutdown(absl::ZeroDuration());
    threads_->Stop();
    background_.Stop();
    engine_->Shutdown();
  }

  std::string address() const { return "127.0.0.1:" + std::to_string(rpc_->port()); }
  std::shared_ptr<grpc::Channel> NewChannel() const {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(address(), grpc::InsecureChannelCredentials(), args);
  }
  Engine& engine() { return *engine_; }
  RpcServer& rpc() { return *rpc_; }
  RpcContext& context() { return context_; }

 private:
  SystemClock clock_;
  BackgroundThread background_;
  absl::Status open_status_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<QueryEngine> query_;
  RpcContext context_;
  std::unique_ptr<RpcServer> rpc_;
  std::unique_ptr<ShardThreads> threads_;
  Event changed_;
  bool stopped_ = false;
};

}  // namespace wheelpit
