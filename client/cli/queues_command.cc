// `wheelpit queues`: every queue with its tasks by state.
#include <google/protobuf/util/json_util.h>

#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/command.h"
#include "client/cli/output.h"
#include "client/sdk/channel.h"
#include "wheelpit/v1/admin.grpc.pb.h"

namespace wheelpit {
namespace {

constexpr char kUsage[] =
    "usage: wheelpit queues [flags]\n"
    "\n"
    "A line for each queue: name, ready, leased, waiting (delayed and retry), succeeded, dead,\n"
    "submits a second, completions a second, worker slots.\n";

}  // namespace

int RunQueues(const std::vector<std::string>& args) {
  CommandFlags common("queues", kUsage);
  std::vector<std::string> positional;
  if (const auto code = common.Parse(args, &positional)) return *code;
  if (!positional.empty()) return common.UsageError("no arguments are expected");
  auto channel = MakeChannel(common.client());
  if (!channel.ok()) return Complain("queues", channel.status());
  const auto stub = v1::AdminService::NewStub(*channel);
  v1::ListQueuesResponse response;
  grpc::ClientContext context;
  SetDeadline(&context, common.client().call_timeout);
  const absl::Status status = FromGrpcStatus(stub->ListQueues(&context, {}, &response));
  if (!status.ok()) return Complain("queues", status);
  if (common.json()) {
    google::protobuf::util::JsonPrintOptions print;
    print.preserve_proto_field_names = true;
    print.always_print_primitive_fields = true;
    for (const v1::QueueInfo& queue : response.queues()) {
      std::string line;
      if (!google::protobuf::util::MessageToJsonString(queue, &line, print).ok()) {
        return Complain("queues", absl::InternalError("a queue that is no JSON"));
      }
      std::cout << line << "\n";
    }
    return kExitOk;
  }
  Table table(
      {"QUEUE", "READY", "LEASED", "WAITING", "SUCCEEDED", "DEAD", "SUBMITS/S", "DONE/S", "SLOTS"});
  for (const v1::QueueInfo& queue : response.queues()) {
    const v1::QueueCounts& counts = queue.counts();
    table.Add({queue.name(), absl::StrCat(counts.ready()), absl::StrCat(counts.leased()),
               absl::StrCat(counts.delayed() + counts.retry_wait()),
               absl::StrCat(counts.succeeded()), absl::StrCat(counts.dead()),
               absl::StrFormat("%.1f", queue.submit_rate_per_second()),
               absl::StrFormat("%.1f", queue.completion_rate_per_second()),
               absl::StrCat(queue.worker_slots())});
  }
  std::cout << table.Render(StdoutIsTerminal());
  return kExitOk;
}

}  // namespace wheelpit
