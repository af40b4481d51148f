// An aggregator as source: its wheelpit.v1.QueryService, over the network or over the channel of
// the server in this process.
//
// Over an in-process channel, stop asking before that server is shut down: gRPC 1.51 crashes on
// calls after it.
#pragma once

#include <memory>

#include "adapter/source/metric_source.h"
#include "grpcpp/channel.h"

namespace wheelpit::adapter {

// At most this many series a discovery query; more are cut (SourceSeries::truncated).
inline constexpr uint32_t kSeriesMax = 10000;

std::unique_ptr<MetricSource> NewAggregatorSource(std::shared_ptr<grpc::Channel> channel);

}  // namespace wheelpit::adapter
