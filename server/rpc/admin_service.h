// Queues and the server itself, for the people who run them.
#pragma once

#include "server/rpc/rpc_context.h"
#include "wheelpit/v1/admin.grpc.pb.h"

namespace wheelpit {

class AdminService final : public v1::AdminService::CallbackService {
 public:
  explicit AdminService(RpcContext* rpc) : rpc_(rpc) {}

  grpc::ServerUnaryReactor* PutQueue(grpc::CallbackServerContext* context, const v1::PutQueueRequest* request,
                                     v1::QueueInfo* response) override;
  grpc::ServerUnaryReactor* GetQueue(grpc::CallbackServerContext* context, const v1::GetQueueRequest* request,
                                     v1::QueueInfo* response) override;
  grpc::ServerUnaryReactor* ListQueues(grpc::CallbackServerContext* context, const v1::ListQueuesRequest* request,
                                       v1::ListQueuesResponse* response) override;
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context, const v1::GetServerInfoRequest* request,
                                          v1::ServerInfo* response) override;

 private:
  RpcContext* const rpc_;
};

}  // namespace wheelpit
