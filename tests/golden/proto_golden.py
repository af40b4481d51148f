#!/usr/bin/env python3
"""Compares what our protos put on the wire with tests/golden/proto.txt.

    proto_golden.py PROTO_DIR GOLDEN [--protoc PATH] [--update_goldens | --selftest]

One sorted line for each field, enum value, rpc and reserved range, so that a diff shows exactly what changed: a renumbered or
retyped field is a lost journal and a broken client. Exit 0 = equal.
"""
import argparse
import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile

TYPES = {1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 6: "fixed64", 7: "fixed32", 8: "bool", 9: "string", 10: "group",
         11: "message", 12: "bytes", 13: "uint32", 14: "enum", 15: "sfixed32", 16: "sfixed64", 17: "sint32", 18: "sint64"}
REPEATED = 3
PACKABLE = set(TYPES) - {9, 10, 11, 12}


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


class Message:
    """The fields of an encoded message by number: ints and bytes, in order."""

    def __init__(self, data):
        self.fields = {}
        at = 0
        while at < len(data):
            tag, at = varint(data, at)
            kind = tag & 7
            if kind == 0:
                value, at = varint(data, at)
            elif kind == 2:
                size, at = varint(data, at)
                value, at = data[at:at + size], at + size
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
                value, at = data[at:at + size], at + size
            else:
                raise ValueError(f"wire type {kind}")
            self.fields.setdefault(tag >> 3, []).append(value)

    def number(self, field, default=0):
        return self.fields.get(field, [default])[-1]

    def has(self, field):
        return field in self.fields

    def text(self, field):
        return self.fields.get(field, [b""])[-1].decode()

    def messages(self, field):
        return [Message(value) for value in self.fields.get(field, [])]

    def message(self, field):
        return Message(self.fields.get(field, [b""])[-1])


def message_lines(message, scope):
    name = f"{scope}.{message.text(1)}"
    yield f"message {name}"
    entries = {f".{name}.{m.text(1)}": m for m in message.messages(3) if m.message(7).number(7)}
    oneofs = [o.text(1) for o in message.messages(8)]
    for field in message.messages(2):
        kind = field.number(5)
        kind_name = field.text(6).lstrip(".") if kind in (11, 14) else TYPES[kind]
        words = []
        if field.text(6) in entries:
            key, value = entries[field.text(6)].messages(2)
            value_name = value.text(6).lstrip(".") if value.number(5) in (11, 14) else TYPES[value.number(5)]
            kind_name = f"map<{TYPES[key.number(5)]}, {value_name}>"
        elif field.number(4) == REPEATED:
            packed = kind in PACKABLE and field.message(8).number(2, 1)
            kind_name = f"repeated {kind_name}" + (" packed" if packed else "")
        if field.number(17):
            words.append("optional")
        elif field.has(9):
            words.append(f"oneof {oneofs[field.number(9)]}")
        yield f"{name}.{field.text(1)} = {field.number(3)} {kind_name}" + "".join(f" ({w})" for w in words)
    for reserved in message.messages(9):
        yield f"{name} reserved {reserved.number(1)}..{reserved.number(2) - 1}"
    for reserved in message.fields.get(10, []):
        yield f"{name} reserved name {reserved.decode()}"
    for nested in message.messages(3):
        if not nested.message(7).number(7):
            yield from message_lines(nested, name)
    for enum in message.messages(4):
        yield from enum_lines(enum, name)


def enum_lines(enum, scope):
    name = f"{scope}.{enum.text(1)}"
    for value in enum.messages(2):
        yield f"enum {name}.{value.text(1)} = {value.number(2)}"
    for reserved in enum.messages(4):
        yield f"enum {name} reserved {reserved.number(1)}..{reserved.number(2)}"


def file_lines(file):
    package = file.text(2)
    for message in file.messages(4):
        yield from message_lines(message, package)
    for enum in file.messages(5):
        yield from enum_lines(enum, package)
    for service in file.messages(6):
        for method in service.messages(2):
            streams = ["stream " if method.number(n) else "" for n in (5, 6)]
            yield (f"rpc {package}.{service.text(1)}.{method.text(1)} ({streams[0]}{method.text(2).lstrip('.')})"
                   f" returns ({streams[1]}{method.text(3).lstrip('.')})")


def render(protoc, proto_dir):
    protos = sorted(os.path.relpath(os.path.join(folder, f), proto_dir)
                    for folder, _, files in os.walk(proto_dir) for f in files if f.endswith(".proto"))
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run([protoc, f"-I{proto_dir}", f"--descriptor_set_out={out.name}", *protos], check=True)
        files = Message(out.read()).messages(1)
    return sorted(line for file in files for line in file_lines(file))


def selftest(protoc, proto_dir):
    """Changes that break the wire, one at a time, on a copy: each must show."""
    before = render(protoc, proto_dir)
    changes = [("wheelpit/v1/queue.proto", r"uint64 token = 2;", "uint64 token = 99;"),
               ("wheelpit/v1/queue.proto", r"uint64 token = 2;", "int64 token = 2;"),
               ("wheelpit/v1/report.proto", r"repeated uint32 counter_refs = 6 \[packed = true\]", "repeated uint32 counter_refs = 6 [packed = false]"),
               ("wheelpit/v1/types.proto", r"TASK_STATE_DEAD = 6;", "TASK_STATE_DEAD = 66;"),
               ("wheelpit/v1/queue.proto", r"rpc Work\(stream WorkRequest\)", "rpc Work(WorkRequest)"),
               ("wheelpit/journal/v1/records.proto", r"= 1;", "= 101;")]
    for path, pattern, replacement in changes:
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, "proto")
            shutil.copytree(proto_dir, copy)
            with open(os.path.join(copy, path), encoding="utf-8") as f:
                text, count = re.subn(pattern, replacement, f.read(), count=1)
            assert count == 1, f"{path} has no {pattern}"
            with open(os.path.join(copy, path), "w", encoding="utf-8") as f:
                f.write(text)
            assert render(protoc, copy) != before, f"{pattern} -> {replacement} was not noticed"
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("proto_dir")
    parser.add_argument("golden")
    parser.add_argument("--protoc", default="protoc")
    parser.add_argument("--update_goldens", action="store_true")
    parser.add_argument("--selftest", action="store_true")
    args = parser.parse_args()
    if args.selftest:
        return selftest(args.protoc, args.proto_dir)
    lines = render(args.protoc, args.proto_dir)
    if args.update_goldens:
        with open(args.golden, "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")
        return 0
    with open(args.golden, encoding="utf-8") as f:
        golden = f.read().splitlines()
    diff = list(difflib.unified_diff(golden, lines, "tests/golden/proto.txt", "the protos", lineterm="", n=0))
    if not diff:
        return 0
    print("\n".join(diff))
    print("\nThe wire has changed. If that is meant (numbers are never reused, types never change, docs/formats.md):\n"
          "  python3 tests/golden/proto_golden.py proto tests/golden/proto.txt --update_goldens")
    return 1


if __name__ == "__main__":
    sys.exit(main())
