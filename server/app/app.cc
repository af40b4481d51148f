#include "server/app/app.h"

#include <unistd.h>

#include <algorithm>
#include <climits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "server/app/data_dir.h"
#include "server/exposition/gauge_families.h"
#include "server/http/probe.h"
#include "server/journal/mem_journal.h"

#ifndef WHEELPIT_REVISION
#define WHEELPIT_REVISION "unknown"
#endif
#ifdef __clang__
#define WHEELPIT_COMPILER __VERSION__
#else
#define WHEELPIT_COMPILER "g++ " __VERSION__
#endif

namespace wheelpit {
namespace {

constexpr absl::Duration kTick = absl::Seconds(1);
constexpr int64_t kHeartbeatTicks = 3;
constexpr int64_t kJournalTicks = 5;
constexpr absl::Duration kCheckpointPatience = absl::Minutes(2);

std::string JoinHostPort(const std::string& host, int64_t port) {
  const bool bare_v6 = absl::StrContains(host, ":") && !absl::StartsWith(host, "[");
  return bare_v6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

std::string HostName() {
  char name[HOST_NAME_MAX + 1] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

std::string Environment(const std::string& chosen, const char* variable) {
  if (!chosen.empty()) return chosen;
  const char* value = ::getenv(variable);
  return value == nullptr ? "" : value;
}

// A cluster that is away closes this door only: the queue goes on without it.
absl::StatusOr<adapter::DelegatedOptions> ClusterDoor(const std::string& kubeconfig) {
  absl::StatusOr<adapter::KubeConfig> login = kubeconfig.empty()
                                                  ? adapter::InClusterConfig([](const char* name) { return Environment("", name); })
                                                  : adapter::ReadKubeconfig(kubeconfig);
  if (!login.ok()) return absl::Status(login.status().code(), absl::StrCat("apis_auth=kubernetes: ", login.status().message()));
  adapter::DelegatedOptions door;
  door.authentication = *login;
  door.authorization = *std::move(login);
  door.auth.tolerate_lookup_failure = true;
  return door;
}

}  // namespace

App::App(ServerConfig config, std::function<void()> changed) : config_(std::move(config)), changed_(std::move(changed)) {}

App::~App() {
  StopDoors(absl::ZeroDuration());
  StopThreads();
}

absl::StatusOr<std::unique_ptr<App>> App::Start(ServerConfig config, std::function<void()> changed) {
  std::unique_ptr<App> app(new App(std::move(config), std::move(changed)));
  WHEELPIT_RETURN_IF_ERROR(app->Init());
  return app;
}

absl::Status App::Init() {
  WHEELPIT_RETURN_IF_ERROR(CheckDoors(config_));
  WHEELPIT_RETURN_IF_ERROR(PrepareDataDir(config_.data_dir));
  WHEELPIT_RETURN_IF_ERROR(OpenJournal());
  BuildRooms();
  WHEELPIT_RETURN_IF_ERROR(OpenGrpc());
  WHEELPIT_RETURN_IF_ERROR(OpenHttp());
  shard_threads_ = std::make_unique<ShardThreads>(engine_.get(), journal_.get(), &clock_);
  shard_threads_->Start([this] { return Recover(); });
  timer_ = std::make_unique<TimerThread>(kTick, [this] { Tick(); });
  return absl::OkStatus();
}

absl::Status App::OpenJournal() {
  if (config_.journal == "memory") {
    journal_ = std::make_unique<MemJournal>();
    return absl::OkStatus();
  }
  SegmentedLogOptions log = config_.log;
  log.random_seed = RandomSeed();
  log.clock = &clock_;
  WHEELPIT_ASSIGN_OR_RETURN(journal_, SegmentedLog::Open(log, PosixFileSystem()));
  return absl::OkStatus();
}

void App::BuildRooms() {
  background_ = std::make_unique<BackgroundThread>("background");
  EngineOptions options = config_.engine;
  options.carry_time = [this](TimeMs not_before_ms) { clock_.AdvanceTo(not_before_ms); };
  engine_ = Engine::Create(options, &clock_, journal_.get(), background_.get(), RandomSeed());
  engine_->SetStateObserver([this] { OnEngineState(); });
  pages_ = PageCache::Create(&engine_->store());
  gauges_ = std::make_unique<QueueGauges>([this] { return engine_->queue().stats(); }, &engine_->store(),
                                          QueueGaugeOptions{.metric_queues_max = static_cast<size_t>(config_.metric_queues_max)});
  query_ = QueryEngine::Create(&engine_->store(), gauges_.get());

  RpcContext& c = rpc_context_;
  c.engine = engine_.get();
  c.queue = &engine_->queue();
  c.ingest = &engine_->ingest();
  c.store = &engine_->store();
  c.query = query_.get();
  c.journal = journal_.get();
  c.clock = &clock_;
  c.series_limits = options.series;
  c.ingest_options = options.ingest;
  c.queue_options = options.queue;
  c.version = WHEELPIT_VERSION;
  c.facts = [this] {
    ServerFacts facts;
    facts.history_id = engine_->history_id();
    facts.epoch = engine_->epoch();
    facts.recovery_progress = progress_.load(std::memory_order_relaxed);
    if (absl::Status failure = engine_->failure(); !failure.ok()) facts.failure = std::string(failure.message());
    return facts;
  };
  rpc_ = std::make_unique<RpcServer>(&rpc_context_);
}

absl::Status App::OpenGrpc() {
  RpcServerOptions grpc;
  grpc.address = JoinHostPort(config_.grpc_host, config_.grpc_port);
  return rpc_->Start(grpc);
}

absl::Status App::OpenHttp() {
  backend_ = std::make_unique<LocalBackend>(&rpc_context_);
  const GatewayLabels labels = GatewayLabelsFrom(Environment(config_.pod_namespace, "POD_NAMESPACE"),
                                                 Environment(config_.pod_name, "POD_NAME"), HostName());
  WHEELPIT_ASSIGN_OR_RETURN(gateway_, Gateway::Create(config_.gateway_routes, labels, backend_.get()));
  self_metrics_ = std::make_unique<SelfMetrics>(&OwnMetrics());
  scraper_ = Scraper::Create(
      pages_.get(),
      {[this] { return self_metrics_->Collect(); }, [this] { return ToPageFamilies(gauges_->Families(clock_.NowMs())); }},
      {.monotonic_ns = [this] { return clock_.MonotonicNanos(); }});
  ServerRoutesOptions routes;
  routes.version = WHEELPIT_VERSION;
  routes.waits_max = static_cast<size_t>(config_.http_threads_max / 2);
  routes.exposition_created = config_.exposition_created;
  routes_ = std::make_unique<ServerRoutes>(routes, backend_.get(), scraper_.get(), query_.get());
  routes_->AddTo(&router_);
  gateway_->AddTo(&gateway_router_);
  HttpServerOptions http;
  http.host = config_.http_host;
  http.port = static_cast<int>(config_.http_port);
  http.threads_max = static_cast<size_t>(config_.http_threads_max);
  http.connections_max = static_cast<size_t>(config_.http_connections_max);
  WHEELPIT_ASSIGN_OR_RETURN(
      http_, HttpServer::Start(http, [this](const HttpRequest& request) { return Handle(request); }, MakeThreadFactory(), &clock_));
  OwnMetrics()
      .AddGauge("wheelpit_build_info", "Always 1; the labels tell what runs.",
                {{"version", WHEELPIT_VERSION}, {"revision", WHEELPIT_REVISION}, {"compiler", WHEELPIT_COMPILER}})
      ->Set(1);
  const bool open_apis = !IsLoopback(config_.apis_host) && config_.apis_auth != "kubernetes";
  const bool insecure = !IsLoopback(config_.grpc_host) || !IsLoopback(config_.http_host) || open_apis;
  OwnMetrics()
      .AddGauge("wheelpit_insecure_doors", "1 when a door without authentication can be reached from other machines.")
      ->Set(insecure ? 1 : 0);
  if (insecure) Log(LogLevel::kWarning, "insecure_doors", {{"why", "allow_insecure is set and a door listens beyond loopback"}});
  return absl::OkStatus();
}

// The server's own routes win, and count their requests themselves.
HttpResponse App::Handle(const HttpRequest& request) {
  if (router_.Knows(request)) return router_.Handle(request);
  const bool gateway = gateway_router_.Knows(request);
  HttpResponse response = gateway_router_.Handle(request);
  ServerHttpProbe().Answered(gateway ? request.RawPath() : "other", response.status);
  return response;
}

absl::Status App::OpenApis() {
  adapter::AdapterOptions apis;
  apis.host = config_.apis_host;
  apis.port = static_cast<int>(config_.apis_port);
  apis.data_dir = config_.data_dir;
  apis.certificate_file = config_.apis_certificate_file;
  apis.key_file = config_.apis_key_file;
  apis.certificate_hosts = config_.apis_certificate_hosts;
  apis.rules.file = config_.adapter_config;
  apis.rules.builtin_rules = config_.adapter_builtin_rules;
  apis.rules.gateway_counters = gateway_->counters();
  apis.version = WHEELPIT_VERSION;
  if (config_.apis_auth == "kubernetes") {
    WHEELPIT_ASSIGN_OR_RETURN(apis.delegated, ClusterDoor(config_.kubeconfig));
  }
  source_ = adapter::NewAggregatorSource(rpc_->InProcessChannel());
  adapter::MetricSources sources;
  sources.aggregator = source_.get();
  WHEELPIT_ASSIGN_OR_RETURN(adapter_, adapter::AdapterServer::Start(apis, sources, MakeThreadFactory(), &clock_));

  return absl::OkStatus();
}

// Engine thread.
bool App::Recover() {
  const absl::Status recovered = engine_->Recover([this](double share) { progress_.store(share, std::memory_order_relaxed); });
  if (!recovered.ok()) return false;  // the observer was told
  progress_.store(1, std::memory_order_relaxed);
  return true;
}

// Engine thread.
void App::OnEngineState() {
  if (!engine_->failure().ok()) {
    ready_.store(false, std::memory_order_release);
    rpc_->SetState(ServingState::kFailed);
    if (changed_) changed_();
    return;
  }
  // An id that grows with each start, and the same name each time: the old incarnation is closed by the new one.
  gateway_counter_ = std::make_unique<GatewayCounter>(&rpc_context_, gateway_->counters(), gateway_->labels(), engine_->epoch());
  backend_->SetCounter(gateway_counter_.get());
  if (gateway_->counters().empty()) return BeginServing();
  gateway_counter_->Declare([this](absl::Status declared) {
    if (!declared.ok()) Log(LogLevel::kWarning, "gateway_not_declared", {{"error", std::string(declared.message())}});
    MarkGatewaySeries();
    BeginServing();
  });
}

// Nobody but this process counts them, and it does not run without its store: what it did not count did not happen. So their rates
// are known from the first moment on.
void App::MarkGatewaySeries() {
  SeriesStore& store = engine_->store();
  const Labels labels(std::vector<Labels::Pair>(gateway_->labels().begin(), gateway_->labels().end()));
  SeriesStore::WriteLock lock(&store);
  for (const std::string& counter : gateway_->counters()) {
    const std::optional<uint32_t> family = store.FindFamily(counter);
    const SeriesId id = family ? store.Find(*family, labels) : 0;
    if (id != 0) store.at(id).queue_fed = true;
  }
}

void App::BeginServing() {
  {
    MutexLock lock(&mu_);
    if (draining_) return;
    rpc_->SetState(ServingState::kServing);
  }
  background_->Post([this] { OpenApisAndFinish(); });
}

// The metrics APIs ask this server's own Query service as soon as they start, so they come last.
void App::OpenApisAndFinish() {
  absl::Status opened;
  {
    MutexLock lock(&mu_);
    if (draining_) return;
    opened = OpenApis();
    start_failure_ = opened;
  }
  if (opened.ok()) {
    Log(LogLevel::kInfo, "listening", {{"grpc", grpc_address()}, {"http", http_address()}, {"apis", apis_address()}});
    NoteJournal();  // gauges are right from the first scrape on
    ready_.store(true, std::memory_order_release);
  }
  if (changed_) changed_();
}

absl::Status App::failure() const {
  {
    MutexLock lock(&mu_);
    if (!start_failure_.ok()) return start_failure_;
  }
  return engine_->failure();
}

void App::Tick() {
  ++ticks_;
  rpc_->Tick(clock_.NowMs());
  if (ticks_ % kHeartbeatTicks == 0 && ready()) {
    engine_->Post([this] {
      if (gateway_counter_ != nullptr) gateway_counter_->Heartbeat();
    });
  }
  if (ticks_ % kJournalTicks == 1) NoteJournal();
}

void App::NoteJournal() {
  const JournalUsage usage = journal_->Usage();
  const auto bytes = [](const char* kind) {
    return OwnMetrics().AddGauge("wheelpit_journal_bytes", "Bytes that the journal holds, by kind.", {{"kind", kind}});
  };
  bytes("live")->Set(static_cast<double>(usage.live_bytes));
  bytes("garbage")->Set(static_cast<double>(usage.garbage_bytes));
  bytes("checkpoint")->Set(static_cast<double>(usage.checkpoint_bytes));
  OwnMetrics().AddGauge("wheelpit_journal_segments", "Segment files.")->Set(static_cast<double>(usage.segments));
  OwnMetrics().AddGauge("wheelpit_journal_free_bytes", "Free bytes of the journal's file system.")->Set(static_cast<double>(usage.free_bytes));
  OwnMetrics()
      .AddGauge("wheelpit_journal_disk_low", "1 when new work is refused because the disk or the journal's bound is near.")
      ->Set(usage.disk_low ? 1 : 0);
  OwnMetrics()
      .AddGauge("wheelpit_journal_durable_position", "Last record that is durable.")
      ->Set(static_cast<double>(journal_->durable_lsn()));
  OwnMetrics()
      .AddGauge("wheelpit_journal_unsynced_bytes", "Bytes appended that a loss of power would take. Rising: the disk does not keep up.")
      ->Set(static_cast<double>(usage.unsynced_bytes));
  const auto age_s = [this](int64_t since_ns) { return static_cast<double>(clock_.MonotonicNanos() - since_ns) / 1e9; };
  if (usage.last_checkpoint_ns != 0) {
    OwnMetrics()
        .AddGauge("wheelpit_journal_checkpoint_age_seconds",
                  "Time since the last checkpoint was finished, or since the start. Rising beyond the interval: checkpoints fail.")
        ->Set(age_s(usage.last_checkpoint_ns));
  }
  if (usage.last_sync_ns != 0) {
    OwnMetrics()
        .AddGauge("wheelpit_journal_last_sync_timestamp_seconds", "When the journal was last synced to disk, Unix time.")
        ->Set(static_cast<double>(clock_.NowMs()) / 1000 - age_s(usage.last_sync_ns));
  }
  OwnMetrics()
      .AddGauge("wheelpit_journal_info", "Always 1; the labels tell the journal in use.",
                {{"engine", std::string(journal_->engine())}, {"durability", std::string(journal_->durability())}, {"version", WHEELPIT_VERSION}})
      ->Set(1);
}

std::string App::grpc_address() const { return JoinHostPort(config_.grpc_host, rpc_->port()); }
std::string App::http_address() const { return JoinHostPort(config_.http_host, http_->port()); }
std::string App::apis_address() const { return JoinHostPort(config_.apis_host, adapter_->port()); }

std::string App::PortsJson() const {
  nlohmann::ordered_json json;
  json["grpc"] = grpc_address();
  json["http"] = http_address();
  json["apis"] = apis_address();
  json["data_dir"] = config_.data_dir;
  json["pid"] = ::getpid();
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

absl::Status App::WritePorts() const {
  return WriteFileWhole(config_.ports_file.empty() ? absl::StrCat(config_.data_dir, "/ports.json") : config_.ports_file, PortsJson());
}

void App::Drain() {
  Log(LogLevel::kInfo, "draining", {{"timeout", FormatDurationMs(config_.drain_timeout_ms)}});
  ready_.store(false, std::memory_order_release);
  StopDoors(absl::Milliseconds(config_.drain_timeout_ms));
  auto finished = std::make_shared<Event>();
  engine_->Post([this, finished] {
    engine_->Checkpoint([finished](absl::Status) { finished->Set(); });
  });
  if (!finished->WaitFor(kCheckpointPatience)) Log(LogLevel::kWarning, "checkpoint_late", {});
  StopThreads();
  Log(LogLevel::kInfo, "stopped", {});
}

void App::StopDoors(absl::Duration patience) {
  {
    MutexLock lock(&mu_);
    if (std::exchange(draining_, true)) return;
  }
  const int64_t until_ns = clock_.MonotonicNanos() + absl::ToInt64Nanoseconds(patience);
  const auto left = [&] { return absl::Nanoseconds(std::max<int64_t>(0, until_ns - clock_.MonotonicNanos())); };
  if (rpc_ != nullptr) rpc_->StartDraining();
  if (adapter_ != nullptr) adapter_->BeginShutdown();
  if (engine_ != nullptr) {
    engine_->Post([this] {
      engine_->StartDraining();
      if (backend_ != nullptr) backend_->EndWaits();
      if (gateway_counter_ != nullptr) gateway_counter_->Goodbye([](absl::Status) {});
    });
  }
  if (http_ != nullptr) http_->Stop(absl::ToInt64Milliseconds(left()));
  if (adapter_ != nullptr) adapter_->Stop(std::min(left(), absl::Seconds(1)));
  if (rpc_ != nullptr) rpc_->Shutdown(left());
}

void App::StopThreads() {
  if (timer_ != nullptr) timer_->Stop();
  if (shard_threads_ != nullptr) shard_threads_->Stop();
  gateway_counter_.reset();
  if (background_ != nullptr) background_->Stop();
  if (engine_ != nullptr) engine_->Shutdown();
}

}  // namespace wheelpit
