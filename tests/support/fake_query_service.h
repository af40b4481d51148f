// A Query service behind real gRPC, in this process, whose answers are written down.
//
//   FakeQueryService service;
//   service.SetQuery("sum(jobs_total)", response);
//   auto channel = service.InProcessChannel();
#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/sync.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "wheelpit/v1/query.grpc.pb.h"

namespace wheelpit {

// Thread-safe. Queries that were not written down are INVALID_ARGUMENT.
class FakeQueryService final : public v1::QueryService::Service {
 public:
  FakeQueryService() {
    grpc::ServerBuilder builder;
    builder.RegisterService(this);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    server_ = builder.BuildAndStart();
  }
  ~FakeQueryService() override { Stop(); }

  // Not to be used after Stop: gRPC 1.51 crashes on a call over the in-process channel of a server
  // that is shut down.
  std::shared_ptr<grpc::Channel> InProcessChannel() { return server_->InProcessChannel({}); }
  std::shared_ptr<grpc::Channel> NetworkChannel() const {
    return grpc::CreateChannel("127.0.0.1:" + std::to_string(port_),
                               grpc::InsecureChannelCredentials());
  }
  int port() const { return port_; }
  void Stop() {
    ReleaseQueries();
    server_->Shutdown();
  }

  // With google.rpc.ErrorInfo if `reason` is not empty.
  static grpc::Status MakeStatus(grpc::StatusCode code, const std::string& reason,
                                 const std::string& message) {
    google::rpc::Status details;
    details.set_code(static_cast<int>(code));
    if (!reason.empty()) {
      google::rpc::ErrorInfo info;
      info.set_reason(reason);
      details.add_details()->PackFrom(info);
    }
    return grpc::Status(code, message, details.SerializeAsString());
  }

  void SetQuery(const std::string& query, v1::QueryResponse response) {
    MutexLock lock(&mu_);
    answers_[query] = {grpc::Status::OK, std::move(response)};
  }
  void SetQueryError(const std::string& query, grpc::Status status) {
    MutexLock lock(&mu_);
    answers_[query] = {std::move(status), {}};
  }
  void SetSeries(v1::SeriesResponse response) {
    MutexLock lock(&mu_);
    series_ = std::move(response);
  }
  // Queries wait until released.
  void HoldQueries() {
    MutexLock lock(&mu_);
    held_ = true;
  }
  void ReleaseQueries() {
    MutexLock lock(&mu_);
    held_ = false;
    released_.SignalAll();
  }
  v1::QueryRequest last_query() const {
    MutexLock lock(&mu_);
    return last_query_;
  }
  v1::SeriesRequest last_series() const {
    MutexLock lock(&mu_);
    return last_series_;
  }

  grpc::Status Query(grpc::ServerContext*, const v1::QueryRequest* request,
                     v1::QueryResponse* response) override {
    MutexLock lock(&mu_);
    last_query_ = *request;
    while (held_) released_.Wait(&mu_);
    const auto it = answers_.find(request->query());
    if (it == answers_.end())
      return MakeStatus(grpc::StatusCode::INVALID_ARGUMENT, "BAD_QUERY",
                        "no such query: " + request->query());
    *response = it->second.second;
    return it->second.first;
  }
  grpc::Status Series(grpc::ServerContext*, const v1::SeriesRequest* request,
                      v1::SeriesResponse* response) override {
    MutexLock lock(&mu_);
    last_series_ = *request;
    *response = series_;
    return grpc::Status::OK;
  }

 private:
  mutable Mutex mu_;
  CondVar released_;
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  std::map<std::string, std::pair<grpc::Status, v1::QueryResponse>> answers_ ABSL_GUARDED_BY(mu_);
  v1::SeriesResponse series_ ABSL_GUARDED_BY(mu_);
  v1::QueryRequest last_query_ ABSL_GUARDED_BY(mu_);
  v1::SeriesRequest last_series_ ABSL_GUARDED_BY(mu_);
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace wheelpit
