// wheelpit-server as an object: builds every room, owns every thread, orders start and shutdown.
//
//   auto app = App::Start(config, [&] { wake main });   // StatusOr: doors are bound, recovery goes on
//   … app->ready(), app->failure() …
//   app->Drain();                                       // SIGTERM's way out; the destructor's is the short one
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "adapter/app/adapter_server.h"
#include "adapter/source/aggregator_source.h"
#include "base/clock.h"
#include "base/http/http_server.h"
#include "base/http/router.h"
#include "base/sync.h"
#include "client/gateway/gateway.h"
#include "server/app/config.h"
#include "server/app/gateway_counter.h"
#include "server/app/http_backend.h"
#include "server/app/shard_threads.h"
#include "server/app/threads.h"
#include "server/engine/engine.h"
#include "server/exposition/page_cache.h"
#include "server/exposition/scraper.h"
#include "server/exposition/self_metrics.h"
#include "server/gauges/queue_gauges.h"
#include "server/http/server_routes.h"
#include "server/rpc/rpc_server.h"

namespace wheelpit {

class App {
 public:
  // `changed` runs, on any thread, when ready() or failure() has changed; it must not call back. Errors: bad data_dir, a journal that is
  // in use, a busy port; nothing is left running then. What only shows later (a damaged journal, a bad rule file) is a failure().
  static absl::StatusOr<std::unique_ptr<App>> Start(ServerConfig config, std::function<void()> changed);
  ~App();

  // Any thread. Ready: recovered, and taking work.
  bool ready() const { return ready_.load(std::memory_order_acquire); }
  // OK until the journal, its recovery or the metrics APIs' door failed.
  absl::Status failure() const;

  // host:port as clients reach them; the last one when ready.
  std::string grpc_address() const;
  std::string http_address() const;
  std::string apis_address() const;
  // What ports.json holds.
  std::string PortsJson() const;
  // Writes it where the configuration says.
  absl::Status WritePorts() const;

  // Not ready from here on; no new work; what is at work goes on for drain_timeout at most; then a checkpoint. Once.
  void Drain();

 private:
  App(ServerConfig config, std::function<void()> changed);
  absl::Status Init();
  absl::Status OpenJournal();
  void BuildRooms();
  absl::Status OpenGrpc();
  absl::Status OpenHttp();
  HttpResponse Handle(const HttpRequest& request);
  absl::Status OpenApis();
  bool Recover();
  void OnEngineState();
  void MarkGatewaySeries();
  void BeginServing();
  void OpenApisAndFinish();
  void Tick();
  void NoteJournal();
  void StopDoors(absl::Duration patience);
  void StopThreads();

  const ServerConfig config_;
  const std::function<void()> changed_;
  SystemClock clock_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<BackgroundThread> background_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<PageCache> pages_;
  std::unique_ptr<QueueGauges> gauges_;
  std::unique_ptr<QueryEngine> query_;
  RpcContext rpc_context_;
  std::unique_ptr<RpcServer> rpc_;
  std::unique_ptr<LocalBackend> backend_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<GatewayCounter> gateway_counter_;  // engine thread
  std::unique_ptr<SelfMetrics> self_metrics_;
  std::unique_ptr<Scraper> scraper_;
  std::unique_ptr<ServerRoutes> routes_;
  HttpRouter router_;
  HttpRouter gateway_router_;
  std::unique_ptr<HttpServer> http_;
  std::unique_ptr<adapter::MetricSource> source_;
  std::unique_ptr<adapter::AdapterServer> adapter_;
  std::unique_ptr<ShardThreads> shard_threads_;
  std::unique_ptr<TimerThread> timer_;

  std::atomic<bool> ready_{false};           // release by the engine thread
  std::atomic<double> progress_{0};          // relaxed: a figure to show
  int64_t ticks_ = 0;                        // timer thread

  mutable Mutex mu_;
  absl::Status start_failure_ ABSL_GUARDED_BY(mu_);
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace wheelpit
