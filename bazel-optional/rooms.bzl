"""The vocabulary of this build, after cmake/rooms.cmake: room, program, unit_test, protos.

`uses` names rooms (or proto, proto_messages), `libs` names targets of @system. Warnings are errors in CMake's build; here they are off.
"""

_COPTS = ["-std=c++20", "-w"]

def _deps(uses, libs):
    return [":" + room for room in uses] + ["@system//:" + lib for lib in libs]

def room(path, srcs, uses = [], libs = [], copts = [], defines = []):
    """One folder, one static library. Its headers may be included by whoever uses it."""
    native.cc_library(
        name = path,
        srcs = [path + "/" + src for src in srcs],
        hdrs = native.glob([path + "/*.h"]),
        copts = _COPTS + copts,
        defines = defines,
        linkstatic = True,
        deps = _deps(uses, libs),
    )

def program(name, folder, srcs, uses = [], libs = [], defines = []):
    native.cc_binary(
        name = name,
        srcs = [folder + "/" + src for src in srcs],
        copts = _COPTS,
        local_defines = defines,
        deps = _deps(uses, libs),
    )

def unit_test(name, folder, srcs, uses = [], libs = []):
    native.cc_test(
        name = name,
        size = "small",
        timeout = "moderate",
        srcs = [folder + "/" + src for src in srcs] + native.glob([folder + "/*.h"]),
        copts = _COPTS,
        linkstatic = True,
        deps = _deps(uses, libs + ["gtest_main", "gmock"]),
    )

def protos(messages, services):
    """Targets proto_messages (no gRPC) and proto, from proto/; `services` are those of `messages` that define some."""
    stems = {proto: "gen/" + proto[:-len(".proto")] for proto in messages}
    message_files = [stem + suffix for stem in stems.values() for suffix in (".pb.h", ".pb.cc")]
    service_files = [stems[proto] + suffix for proto in services for suffix in (".grpc.pb.h", ".grpc.pb.cc")]
    protoc = "/usr/bin/protoc -Iexternal/%s/proto" % native.repository_name()[1:]
    native.genrule(
        name = "generate_protos",
        srcs = ["proto/" + proto for proto in messages],
        outs = message_files + service_files,
        cmd = " && ".join([
            "%s --cpp_out=$(RULEDIR)/gen %s" % (protoc, " ".join(messages)),
            "%s --plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin --grpc_out=$(RULEDIR)/gen %s" % (protoc, " ".join(services)),
        ]),
    )
    for name, files, deps in [
        ("proto_messages", message_files, ["@system//:protobuf"]),
        ("proto", service_files, [":proto_messages", "@system//:grpc"]),
    ]:
        native.cc_library(
            name = name,
            srcs = [f for f in files if f.endswith(".cc")],
            hdrs = [f for f in files if f.endswith(".h")],
            copts = _COPTS,
            includes = ["gen"],
            linkstatic = True,
            deps = deps,
        )

def bundle(name, archive, rooms):
    """One archive of the objects of several rooms, as it is installed."""
    native.genrule(
        name = name,
        srcs = [":" + room for room in rooms],
        outs = [archive],
        cmd = "(echo CREATE $@; for a in $(SRCS); do case $$a in *.pic.a) ;; *.a) echo ADDLIB $$a ;; esac; done; echo SAVE; echo END) | ar -M",
    )
