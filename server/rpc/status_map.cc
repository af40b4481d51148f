#include "server/rpc/status_map.h"

#include <string>

#include "base/errors.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace wheelpit {
namespace {

constexpr char kTypePrefix[] = "type.googleapis.com/";

void AddDetail(const google::protobuf::Message& detail, google::rpc::Status* out) {
  google::protobuf::Any* any = out->add_details();
  any->set_type_url(kTypePrefix + detail.GetDescriptor()->full_name());
  detail.SerializeToString(any->mutable_value());
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const auto code = static_cast<grpc::StatusCode>(status.code());
  const std::string message(status.message());
  const std::string reason = ErrorReason(status);
  if (reason.empty()) return grpc::Status(code, message);
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("wheelpit");
  AddDetail(info, &details);
  if (const absl::Duration retry = ErrorRetryAfter(status); retry > absl::ZeroDuration()) {
    google::rpc::RetryInfo retry_info;
    const int64_t ms = absl::ToInt64Milliseconds(retry);
    retry_info.mutable_retry_delay()->set_seconds(ms / 1000);
    retry_info.mutable_retry_delay()->set_nanos(static_cast<int32_t>(ms % 1000 * 1'000'000));
    AddDetail(retry_info, &details);
  }
  return grpc::Status(code, message, details.SerializeAsString());
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  std::string reason;
  absl::Duration retry;
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details())) {
    for (const google::protobuf::Any& any : details.details()) {
      google::rpc::ErrorInfo info;
      google::rpc::RetryInfo retry_info;
      if (any.type_url() == kTypePrefix + info.GetDescriptor()->full_name() && info.ParseFromString(any.value())) {
        reason = info.reason();
      } else if (any.type_url() == kTypePrefix + retry_info.GetDescriptor()->full_name() && retry_info.ParseFromString(any.value())) {
        retry = absl::Seconds(retry_info.retry_delay().seconds()) + absl::Nanoseconds(retry_info.retry_delay().nanos());
      }
    }
  }
  return MakeError(static_cast<absl::StatusCode>(status.error_code()), reason, status.error_message(), retry);
}

void ToItemStatus(const absl::Status& status, v1::ItemStatus* out) {
  if (status.ok()) return;
  out->set_code(static_cast<int>(status.code()));
  out->set_reason(ErrorReason(status));
  out->set_message(std::string(status.message()));
  out->set_retry_after_ms(absl::ToInt64Milliseconds(ErrorRetryAfter(status)));
}

}  // namespace wheelpit
