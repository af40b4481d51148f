// Submits, unary leases, and questions about tasks. Each call is one command for the engine; its answer comes from there.
#pragma once

#include <memory>

#include "absl/container/flat_hash_set.h"
#include "server/rpc/rpc_context.h"
#include "server/rpc/stream_hub.h"
#include "wheelpit/v1/queue.grpc.pb.h"

namespace wheelpit {

class QueueService final : public v1::QueueService::CallbackService {
 public:
  // Both outlive the service and every call.
  QueueService(RpcContext* rpc, StreamHub* hub);
  ~QueueService() override;

  // Answers calls that wait for tasks or for ends of tasks as if their time were over. Engine thread.
  void EndWaits();

  grpc::ServerUnaryReactor* Submit(grpc::CallbackServerContext* context, const v1::SubmitRequest* request,
                                   v1::SubmitResponse* response) override;
  grpc::ServerUnaryReactor* SubmitBatch(grpc::CallbackServerContext* context, const v1::SubmitBatchRequest* request,
                                        v1::SubmitBatchResponse* response) override;
  grpc::ServerBidiReactor<v1::SubmitStreamRequest, v1::SubmitStreamResponse>* SubmitStream(grpc::CallbackServerContext* context) override;
  grpc::ServerBidiReactor<v1::WorkRequest, v1::WorkResponse>* Work(grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* LeaseTasks(grpc::CallbackServerContext* context, const v1::LeaseTasksRequest* request,
                                       v1::LeaseTasksResponse* response) override;
  grpc::ServerUnaryReactor* CompleteTasks(grpc::CallbackServerContext* context, const v1::CompleteTasksRequest* request,
                                          v1::CompleteTasksResponse* response) override;
  grpc::ServerUnaryReactor* FailTasks(grpc::CallbackServerContext* context, const v1::FailTasksRequest* request,
                                      v1::FailTasksResponse* response) override;
  grpc::ServerUnaryReactor* ExtendLeases(grpc::CallbackServerContext* context, const v1::ExtendLeasesRequest* request,
                                         v1::ExtendLeasesResponse* response) override;
  grpc::ServerUnaryReactor* ReleaseTasks(grpc::CallbackServerContext* context, const v1::ReleaseTasksRequest* request,
                                         v1::ReleaseTasksResponse* response) override;
  grpc::ServerUnaryReactor* GetTask(grpc::CallbackServerContext* context, const v1::GetTaskRequest* request, v1::Task* response) override;
  grpc::ServerUnaryReactor* WaitTask(grpc::CallbackServerContext* context, const v1::WaitTaskRequest* request, v1::Task* response) override;
  grpc::ServerUnaryReactor* ListTasks(grpc::CallbackServerContext* context, const v1::ListTasksRequest* request,
                                      v1::ListTasksResponse* response) override;
  grpc::ServerUnaryReactor* CancelTask(grpc::CallbackServerContext* context, const v1::CancelTaskRequest* request,
                                       v1::Task* response) override;

 private:
  struct Wait;
  void EndWait(const std::shared_ptr<Wait>& wait, const absl::Status& status);

  RpcContext* const rpc_;
  StreamHub* const hub_;
  absl::flat_hash_set<std::shared_ptr<Wait>> waits_;  // engine thread
};

}  // namespace wheelpit
