// What the SDK's parts share and do not install: channels, error mapping, backoff, ids, time.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/random.h"
#include "client/sdk/options.h"
#include "client/sdk/query.h"
#include "wheelpit/v1/types.pb.h"

namespace wheelpit {

// A channel of its own (channels with equal arguments would share one connection). Does not wait
// for the connection.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ClientOptions& options);

// Drops the last reference on the calling thread: gRPC breaks if its own callback thread, which may
// still be letting go of a call that has ended, is the one that ends the channel. Every call must
// be on its way to its end.
void ReleaseChannel(std::shared_ptr<grpc::Channel>* channel);

// With google.rpc.ErrorInfo's reason and RetryInfo's delay, where sent.
absl::Status FromGrpcStatus(const grpc::Status& status);
absl::Status FromItemStatus(const v1::ItemStatus& status);
// Whether the same request may succeed later without a change: no connection, time ran out, or the
// server named a delay.
bool IsRetryable(const absl::Status& status);

// Sets a unary call's deadline.
void SetDeadline(grpc::ClientContext* context, absl::Duration timeout);

// The process' clock: NowMs() never falls.
const Clock& ClientClock();

// Full jitter. Not thread-safe.
class Backoff {
 public:
  Backoff(const RetryOptions& options, uint64_t seed) : options_(options), rng_(seed) {}
  // Before the n-th retry (1, 2, …); at least what the error asks for.
  int64_t DelayMs(int retry, const absl::Status& error);
  // Counts by itself.
  int64_t NextMs(const absl::Status& error) { return DelayMs(++retries_, error); }
  void Reset() { retries_ = 0; }

 private:
  const RetryOptions options_;
  Rng rng_;
  int retries_ = 0;
};

std::string HostName();
std::string RandomHex(int bytes);
// Environment variable, or "".
std::string FromEnvironment(const char* name);

// Query over a channel that somebody else made, for example one within the process.
class QueryAccess {
 public:
  static std::unique_ptr<Query> Make(std::shared_ptr<grpc::Channel> channel,
                                     absl::Duration call_timeout);
};

}  // namespace wheelpit
