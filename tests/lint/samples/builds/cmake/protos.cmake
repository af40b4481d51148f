set(WHEELPIT_PROTOS
  wheelpit/v1/types.proto
  wheelpit/v1/queue.proto)
set(WHEELPIT_GRPC_PROTOS
  wheelpit/v1/queue.proto)
