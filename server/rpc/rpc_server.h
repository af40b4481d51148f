// The gRPC door: the four services, health and reflection on one address.
//
//   RpcServer server(&context);
//   WHEELPIT_RETURN_IF_ERROR(server.Start({.address = "127.0.0.1:0"}));
//   server.SetState(ServingState::kServing);
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/grpcpp.h"
#include "server/rpc/rpc_context.h"
#include "server/rpc/stream_hub.h"

namespace wheelpit {

class QueueService;
class ReportService;
class QueryService;
class AdminService;

struct RpcServerOptions {
  // host:port; port 0 = any free one. Empty = no socket, only InProcessChannel().
  std::string address = "127.0.0.1:7070";
  int message_bytes_max = 18 << 20;
};

class RpcServer {
 public:
  // `context` outlives the server.
  explicit RpcServer(RpcContext* context);
  ~RpcServer();

  // kUnavailable when the address cannot be bound (busy, or no such host).
  absl::Status Start(const RpcServerOptions& options);
  // The port that was bound.
  int port() const { return port_; }
  std::shared_ptr<grpc::Channel> InProcessChannel();

  // Any thread; also what the health service says.
  void SetState(ServingState state);
  // About every second, from the timer thread.
  void Tick(int64_t now_ms) { hub_.Tick(now_ms); }
  // The state becomes kDraining, workers are asked to come back later, waiting calls end. Completions go on.
  void StartDraining();
  // Ends every call by then, those that are not finished with an error. Blocks; the engine must still run.
  void Shutdown(absl::Duration patience);

 private:
  RpcContext* const context_;
  StreamHub hub_;
  std::unique_ptr<QueueService> queue_;
  std::unique_ptr<ReportService> report_;
  std::unique_ptr<QueryService> query_;
  std::unique_ptr<AdminService> admin_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace wheelpit
