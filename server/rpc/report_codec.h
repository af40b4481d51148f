// Between wheelpit.v1's report messages and ingest's plain values.
#pragma once

#include "absl/status/statusor.h"
#include "server/ingest/report_ingest.h"
#include "server/rpc/rpc_context.h"
#include "wheelpit/v1/report.pb.h"

namespace wheelpit {

// kInvalidArgument BAD_FIELD.
absl::StatusOr<ReportHello> HelloFromProto(const v1::Hello& proto);
// The columns borrow the message's memory.
ReportBatch BatchFromProto(const v1::Batch& proto);
void HelloAckToProto(const HelloOutcome& outcome, const RpcContext& rpc, v1::HelloAck* out);
// Later acks on top of earlier ones: positions replace, rejects add up.
void MergeAck(BatchAck&& ack, v1::Ack* out);

}  // namespace wheelpit
