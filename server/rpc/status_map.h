// Errors on the wire: the one place that turns absl::Status with a reason into gRPC (HTTP: base/http/http_status.h).
#pragma once

#include "absl/status/status.h"
#include "grpcpp/support/status.h"
#include "wheelpit/v1/types.pb.h"

namespace wheelpit {

// Code and message as they are; the reason as google.rpc.ErrorInfo{domain "wheelpit"} and the retry time as RetryInfo, in
// grpc-status-details-bin.
grpc::Status ToGrpcStatus(const absl::Status& status);
// The way back, for in-process callers.
absl::Status FromGrpcStatus(const grpc::Status& status);

// Of one item of a batch; an OK status leaves it empty.
void ToItemStatus(const absl::Status& status, v1::ItemStatus* out);

}  // namespace wheelpit
