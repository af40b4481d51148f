# wheelpit::proto: the only generated code. It is made in the build folder and never committed.
set(gen ${PROJECT_BINARY_DIR}/gen)
file(MAKE_DIRECTORY ${gen})
set(WHEELPIT_PROTOS
  google/rpc/status.proto
  google/rpc/error_details.proto
  wheelpit/v1/types.proto
  wheelpit/v1/report.proto
  wheelpit/v1/queue.proto
  wheelpit/v1/query.proto
  wheelpit/v1/admin.proto
  wheelpit/journal/v1/records.proto)
set(WHEELPIT_GRPC_PROTOS
  wheelpit/v1/report.proto
  wheelpit/v1/queue.proto
  wheelpit/v1/query.proto
  wheelpit/v1/admin.proto)
set(message_sources)
set(service_sources)
foreach(proto ${WHEELPIT_PROTOS})
  string(REPLACE ".proto" "" base ${proto})
  set(out ${gen}/${base}.pb.cc ${gen}/${base}.pb.h)
  set(plugin)
  if(proto IN_LIST WHEELPIT_GRPC_PROTOS)
    list(APPEND out ${gen}/${base}.grpc.pb.cc ${gen}/${base}.grpc.pb.h)
    set(plugin --grpc_out=${gen} --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>)
    list(APPEND service_sources ${gen}/${base}.grpc.pb.cc)
  endif()
  list(APPEND message_sources ${gen}/${base}.pb.cc)
  add_custom_command(
    OUTPUT ${out}
    COMMAND protobuf::protoc -I${PROJECT_SOURCE_DIR}/proto --cpp_out=${gen} ${plugin} ${proto}
    DEPENDS ${PROJECT_SOURCE_DIR}/proto/${proto}
    VERBATIM)
endforeach()
# Messages alone, for rooms that must not know gRPC.
add_library(wheelpit_proto_messages STATIC ${message_sources})
target_include_directories(wheelpit_proto_messages SYSTEM PUBLIC ${gen})
target_compile_options(wheelpit_proto_messages PRIVATE -w)
target_link_libraries(wheelpit_proto_messages PUBLIC protobuf::libprotobuf)
add_library(wheelpit::proto_messages ALIAS wheelpit_proto_messages)
add_library(wheelpit_proto STATIC ${service_sources})
target_compile_options(wheelpit_proto PRIVATE -w)
# A program that speaks no TLS over gRPC sets GRPC_WITHOUT_TLS: half of the library stays out of its memory.
target_link_libraries(wheelpit_proto PUBLIC wheelpit_proto_messages
  $<IF:$<BOOL:$<TARGET_PROPERTY:GRPC_WITHOUT_TLS>>,gRPC::grpc++_unsecure,gRPC::grpc++>)
add_library(wheelpit::proto ALIAS wheelpit_proto)
