// Reports come in: one reactor per stream, no work per sample. The columns of a batch are lent to the engine as they were parsed.
#pragma once

#include "server/rpc/rpc_context.h"
#include "server/rpc/stream_hub.h"
#include "wheelpit/v1/report.grpc.pb.h"

namespace wheelpit {

class ReportService final : public v1::ReportService::CallbackService {
 public:
  // Both outlive the service.
  ReportService(RpcContext* rpc, StreamHub* hub) : rpc_(rpc), hub_(hub) {}

  grpc::ServerBidiReactor<v1::ReportRequest, v1::ReportResponse>* ReportStream(grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Report(grpc::CallbackServerContext* context, const v1::UnaryReportRequest* request,
                                   v1::UnaryReportResponse* response) override;

 private:
  RpcContext* const rpc_;
  StreamHub* const hub_;
};

}  // namespace wheelpit
