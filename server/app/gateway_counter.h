// The gateway's own counts, reported by the server to itself.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "client/gateway/gateway.h"
#include "server/ingest/report_ingest.h"
#include "server/rpc/rpc_context.h"

namespace wheelpit {

// Requests that only count: increments that come while one batch is on its way to the disk travel together in the next. The server
// reports them to itself as one reporter, so they are counted exactly once like anybody's.
//
// Engine thread.
class GatewayCounter {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;

  // `rpc` outlives it. `incarnation` grows with each start of the server.
  GatewayCounter(RpcContext* rpc, std::vector<std::string> counters, GatewayLabels labels, uint64_t incarnation);

  // Makes the series appear with 0.
  void Declare(Done done);
  void Count(const std::string& counter, Done done);
  // Keeps the reporter known as alive. About every 3 s.
  void Heartbeat();
  // Everything is counted: silence is known to be 0 from here on.
  void Goodbye(Done done);

 private:
  struct Increment {
    uint64_t n = 0;
    std::vector<Done> done;
  };

  absl::Status Open();
  void Flush();
  void Acked(std::vector<Done> done, const absl::StatusOr<BatchAck>& ack);

  RpcContext* const rpc_;
  const std::vector<std::string> counters_;
  const GatewayLabels labels_;
  const uint64_t incarnation_;
  std::unique_ptr<ReportStream> stream_;
  uint64_t next_seq_ = 1;
  uint64_t acked_through_ = 0;
  bool declared_ = false;   // on this stream
  bool in_flight_ = false;
  bool declare_due_ = false;
  std::vector<Done> declare_done_;
  absl::flat_hash_map<std::string, Increment> waiting_;
};

}  // namespace wheelpit
