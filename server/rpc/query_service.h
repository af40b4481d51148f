// PromQL over gRPC. Evaluation only reads memory, so it runs where the call came in.
#pragma once

#include "server/rpc/rpc_context.h"
#include "wheelpit/v1/query.grpc.pb.h"

namespace wheelpit {

class QueryService final : public v1::QueryService::CallbackService {
 public:
  explicit QueryService(RpcContext* rpc) : rpc_(rpc) {}

  grpc::ServerUnaryReactor* Query(grpc::CallbackServerContext* context, const v1::QueryRequest* request,
                                  v1::QueryResponse* response) override;
  grpc::ServerUnaryReactor* Series(grpc::CallbackServerContext* context, const v1::SeriesRequest* request,
                                   v1::SeriesResponse* response) override;
  grpc::ServerUnaryReactor* Families(grpc::CallbackServerContext* context, const v1::FamiliesRequest* request,
                                     v1::FamiliesResponse* response) override;

 private:
  RpcContext* const rpc_;
};

}  // namespace wheelpit
