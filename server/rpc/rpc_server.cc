#include "server/rpc/rpc_server.h"

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "server/promql/probe.h"
#include "server/rpc/admin_service.h"
#include "server/rpc/probe.h"
#include "server/rpc/query_service.h"
#include "server/rpc/queue_service.h"
#include "server/rpc/report_service.h"

namespace wheelpit {
namespace {

constexpr const char* kServices[] = {"wheelpit.v1.QueueService", "wheelpit.v1.ReportService", "wheelpit.v1.QueryService",
                                     "wheelpit.v1.AdminService"};

// Process-wide switches of gRPC, to be thrown before the first builder.
void EnablePlugins() {
  static const bool once = [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  (void)once;
}

}  // namespace

RpcServer::RpcServer(RpcContext* context)
    : context_(context),
      queue_(std::make_unique<QueueService>(context, &hub_)),
      report_(std::make_unique<ReportService>(context, &hub_)),
      query_(std::make_unique<QueryService>(context)),
      admin_(std::make_unique<AdminService>(context)) {
  // Their series begin with 0.
  RpcProbe::Get();
  PromqlProbe::QuerySeconds();
}

RpcServer::~RpcServer() {
  if (server_ != nullptr) Shutdown(absl::ZeroDuration());
}

absl::Status RpcServer::Start(const RpcServerOptions& options) {
  EnablePlugins();
  grpc::ServerBuilder builder;
  if (!options.address.empty()) builder.AddListeningPort(options.address, grpc::InsecureServerCredentials(), &port_);
  builder.SetMaxReceiveMessageSize(options.message_bytes_max);
  builder.SetMaxSendMessageSize(options.message_bytes_max);
  // Without it two servers share a port and split its connections: a busy port must be an error.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Clients may ping on an idle channel; the streams' own pings decide who is dead.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.RegisterService(queue_.get());
  builder.RegisterService(report_.get());
  builder.RegisterService(query_.get());
  builder.RegisterService(admin_.get());
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || (!options.address.empty() && port_ == 0)) {
    server_.reset();
    return MakeError(absl::StatusCode::kUnavailable, "ADDRESS",
                     absl::StrCat("cannot listen for gRPC on ", options.address, ": the port is busy or the address is not this machine's"));
  }
  SetState(context_->state.load(std::memory_order_acquire));
  return absl::OkStatus();
}

std::shared_ptr<grpc::Channel> RpcServer::InProcessChannel() { return server_->InProcessChannel(grpc::ChannelArguments()); }

void RpcServer::SetState(ServingState state) {
  context_->state.store(state, std::memory_order_release);
  if (server_ == nullptr) return;
  auto* health = server_->GetHealthCheckService();
  if (health == nullptr) return;
  const bool serving = state == ServingState::kServing;
  health->SetServingStatus("", serving);
  for (const char* service : kServices) health->SetServingStatus(service, serving);
}

void RpcServer::StartDraining() {
  SetState(ServingState::kDraining);
  hub_.GoAway();
  context_->engine->Post([this] { queue_->EndWaits(); });
}

void RpcServer::Shutdown(absl::Duration patience) {
  if (server_ == nullptr) return;
  server_->Shutdown(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                 gpr_time_from_millis(absl::ToInt64Milliseconds(patience), GPR_TIMESPAN)));
  server_.reset();
}

}  // namespace wheelpit
