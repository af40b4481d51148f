"""Compares what the two builds are made of: CMake's rooms, programs, tests, protos and version with bazel-optional's.

Both are read as text: wheelpit_room(…), wheelpit_program(…), wheelpit_test(…) and cmake/protos.cmake on one side; room(…), program(…),
unit_test(…), protos(…) of bazel-optional/rooms.BUILD, which is Python as far as it goes, on the other. check_builds returns findings.
"""
import ast
import os
import re
import sys

SOURCE_DIRS = ("base", "server", "adapter", "client")
BAZEL = "bazel-optional"
ROOMS = os.path.join(BAZEL, "rooms.BUILD")
# CMake's imported targets, by the word before "::", and what bazel-optional/WORKSPACE calls their library.
LIBRARIES = {"absl": "absl", "gRPC": "grpc", "protobuf": "protobuf", "OpenSSL": "openssl", "ZLIB": "zlib", "Threads": "threads",
             "nlohmann_json": "json", "prometheus-cpp": "prometheus", "yaml-cpp": "yaml", "PkgConfig::RE2": "re2",
             "PkgConfig::HTTPLIB": "httplib"}
MAY_HOLD = re.compile(r"(^|/)(WORKSPACE|BUILD|README\.md|[\w.]+\.(BUILD|bzl))$")


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read()


class Item:
    """A room, program or test: where it is said, its source files, the rooms and the system's libraries that it uses."""

    def __init__(self, where, sources, uses, libs):
        self.where, self.sources, self.uses, self.libs = where, set(sources), set(uses), set(libs)


class Build:
    def __init__(self, name):
        self.name = name
        self.items = {}      # ("room", path), ("program", name), ("test", name) -> Item
        self.protos = {}     # "messages", "services" -> set
        self.version = None


# --- CMake ------------------------------------------------------------------------------------------------------------------------

def arguments(text):
    """What a command was given, by keyword; what comes before the first keyword is under ""."""
    groups, key = {"": []}, ""
    for word in text.split():
        if word in ("NAME", "SRCS", "USES", "ARGS", "LABELS", "TIMEOUT"):
            key = word
            groups[key] = []
        else:
            groups[key].append(word)
    return groups


def library(target):
    """What Bazel calls a library that CMake's files use; the name itself, in quotes, if nobody has said."""
    return LIBRARIES.get(target) or LIBRARIES.get(target.split("::")[0]) or '"%s"' % target


def read_cmake(root):
    build = Build("CMake")
    files = []
    for top in SOURCE_DIRS + ("tests/unit",):
        for folder, _, names in sorted(os.walk(os.path.join(root, top))):
            if "CMakeLists.txt" in names:
                files.append(os.path.relpath(os.path.join(folder, "CMakeLists.txt"), root))
    for path in files:
        text = re.sub(r"#[^\n]*", "", read(root, path))
        for m in re.finditer(r"\bwheelpit_(room|program|test)\s*\(([^()]*)\)", text):
            given = arguments(m.group(2))
            kind = m.group(1)
            folder = given[""][0] if kind == "room" else os.path.dirname(path)
            name = folder if kind == "room" else given["NAME"][0]
            uses = [u[len("wheelpit::"):].replace("::", "/") for u in given.get("USES", []) if u.startswith("wheelpit::")]
            libs = [library(u) for u in given.get("USES", []) if not u.startswith("wheelpit")]
            build.items[(kind, name)] = Item(path, [folder + "/" + s for s in given.get("SRCS", [])], uses, libs)
    protos = read(root, "cmake/protos.cmake")
    for key, variable in (("messages", "WHEELPIT_PROTOS"), ("services", "WHEELPIT_GRPC_PROTOS")):
        m = re.search(r"set\(%s\s([^)]*)\)" % variable, protos)
        build.protos[key] = set(m.group(1).split()) if m else set()
    m = re.search(r"project\(wheelpit VERSION ([\d.]+)", read(root, "CMakeLists.txt"))
    build.version = m.group(1) if m else None
    return build


# --- Bazel --------------------------------------------------------------------------------------------------------------------------

def read_bazel(root):
    build = Build("Bazel")
    for node in ast.parse(read(root, ROOMS)).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "VERSION":
            build.version = node.value.value
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
            continue
        call = node.value
        kind = {"unit_test": "test"}.get(call.func.id, call.func.id)
        given = {}
        for k in call.keywords:
            try:
                given[k.arg] = ast.literal_eval(k.value)
            except ValueError:  # an expression, such as a define made from VERSION
                pass
        where = "%s:%d" % (ROOMS, node.lineno)
        if kind == "room":
            name = folder = ast.literal_eval(call.args[0])
        elif kind in ("program", "test"):
            name, folder = given["name"], given["folder"]
        elif kind == "protos":
            build.protos = {key: set(given[key]) for key in ("messages", "services")}
            continue
        else:
            continue
        build.items[(kind, name)] = Item(where, [folder + "/" + s for s in given.get("srcs", [])], given.get("uses", []),
                                         given.get("libs", []))
    return build


# --- the comparison -----------------------------------------------------------------------------------------------------------------

def compare_items(cmake, bazel):
    found = []
    for key in sorted(set(cmake.items) | set(bazel.items)):
        kind, name = key
        ours, theirs = cmake.items.get(key), bazel.items.get(key)
        if ours is None:
            found.append("%s: %s %s is not in CMake's build" % (theirs.where, kind, name))
        elif theirs is None:
            if kind != "test":  # Bazel runs a few tests only
                found.append("%s: %s %s is missing in %s" % (ours.where, kind, name, ROOMS))
        else:
            for source in sorted(ours.sources - theirs.sources):
                found.append("%s: %s %s lacks %s, which CMake builds" % (theirs.where, kind, name, source))
            for source in sorted(theirs.sources - ours.sources):
                found.append("%s: %s %s has %s, which CMake does not build" % (theirs.where, kind, name, source))
            # Bazel may use more: it needs whatever a header comes from.
            if kind != "test":
                for room in sorted(ours.uses - theirs.uses):
                    found.append("%s: %s %s does not use %s, as CMake's does" % (theirs.where, kind, name, room))
                for lib in sorted(ours.libs - theirs.libs):
                    found.append("%s: %s %s does not use the library %s, as CMake's does" % (theirs.where, kind, name, lib))
    return found


def included_rooms(root, build, key):
    """The rooms and protos whose headers a room, program or test includes itself."""
    kind, name = key
    item = build.items[key]
    files = set(item.sources)
    folder = name if kind == "room" else os.path.dirname(next(iter(item.sources), name))
    if kind != "program" and os.path.isdir(os.path.join(root, folder)):
        files |= {folder + "/" + f for f in os.listdir(os.path.join(root, folder)) if f.endswith(".h")}
    rooms = set()
    for path in files:
        if not os.path.exists(os.path.join(root, path)):
            continue
        for header in re.findall(r'^\s*#\s*include\s*"([^"]+)"', read(root, path), re.M):
            if header.endswith(".grpc.pb.h"):
                rooms.add("proto")
            elif header.endswith(".pb.h"):
                rooms.add("proto_messages")
            elif ("room", os.path.dirname(header)) in build.items:
                rooms.add(os.path.dirname(header))
    return rooms - {name}


def closure(build, uses):
    seen, todo = set(), list(uses)
    while todo:
        room = todo.pop()
        if room not in seen:
            seen.add(room)
            todo += ["proto_messages"] if room == "proto" else build.items[("room", room)].uses if ("room", room) in build.items else []
    return seen


def missing_uses(root, bazel, key):
    """Bazel refuses a header of a room that is not used, directly or through others; CMake's one include path lets it pass."""
    return sorted(included_rooms(root, bazel, key) - closure(bazel, bazel.items[key].uses))


def compare_includes(root, bazel):
    return ["%s: %s %s does not use %s, whose headers it includes" % (bazel.items[key].where, key[0], key[1], room)
            for key in sorted(bazel.items) for room in missing_uses(root, bazel, key)]


def compare_files(root, cmake):
    """Each listed source is there, and each source that is there is listed. (CMake's rooms leave out what is missing.)"""
    found = []
    listed = {s: i.where for (kind, _), i in cmake.items.items() if kind != "test" for s in i.sources}
    for source, where in sorted(listed.items()):
        if not os.path.exists(os.path.join(root, source)):
            found.append("%s: %s does not exist" % (where, source))
    for top in SOURCE_DIRS:
        for folder, _, names in sorted(os.walk(os.path.join(root, top))):
            for name in sorted(names):
                path = os.path.relpath(os.path.join(folder, name), root)
                if name.endswith(".cc") and path not in listed:
                    found.append("%s: no room and no program builds it" % path)
    return found


def compare_folder(root):
    found = []
    for folder, _, names in sorted(os.walk(os.path.join(root, BAZEL))):
        for name in sorted(names):
            path = os.path.relpath(os.path.join(folder, name), os.path.join(root, BAZEL))
            if not MAY_HOLD.search(path) and not path.startswith("bazel-"):  # bazel-*: the links of a build by hand
                found.append("%s/%s: only WORKSPACE, BUILD and .bzl files here, no sources" % (BAZEL, path))
    return found


def check_builds(root):
    cmake, bazel = read_cmake(root), read_bazel(root)
    found = compare_items(cmake, bazel) + compare_includes(root, bazel) + compare_files(root, cmake) + compare_folder(root)
    for key in ("messages", "services"):
        for proto in sorted(cmake.protos[key] ^ bazel.protos.get(key, set())):
            side = "cmake/protos.cmake" if proto in cmake.protos[key] else ROOMS
            found.append("proto %s: only %s has it among the %s" % (proto, side, key))
    if cmake.version is None or cmake.version != bazel.version:
        found.append("version: CMakeLists.txt says %s, %s says %s" % (cmake.version, ROOMS, bazel.version))
    return found


def fix(root):
    """Writes CMake's lists into rooms.BUILD: the sources of what both builds have, rooms and libraries that Bazel's lacks, and rooms and
    programs that it lacks, at the end. Other attributes stay; what CMake no longer has goes by hand."""
    cmake, bazel = read_cmake(root), read_bazel(root)
    text = read(root, ROOMS)
    for (kind, name), ours in sorted(cmake.items.items()):
        folder = name if kind == "room" else os.path.dirname(ours.where)
        theirs = bazel.items.get((kind, name))
        if theirs is None and kind == "test":
            continue
        lists = {"srcs": [os.path.relpath(s, folder) for s in ours.sources],
                 "uses": ours.uses | (theirs.uses | set(missing_uses(root, bazel, (kind, name))) if theirs else set()),
                 "libs": ours.libs | (theirs.libs if theirs else set())}
        body = "".join("    %s = [\n%s    ],\n" % (key, "".join('        "%s",\n' % v for v in sorted(values)))
                       for key, values in lists.items() if values)
        call = {"test": "unit_test"}.get(kind, kind)
        if theirs is None:
            head = '    "%s",\n' % name if kind == "room" else '    name = "%s",\n    folder = "%s",\n' % (name, folder)
            text += "\n%s(\n%s%s)\n" % (call, head, body)
            continue
        start = re.search(r'^%s\(\n    (?:name = )?"%s",\n' % (call, re.escape(name)), text, re.M)
        end = text.index("\n)\n", start.end() - 1) + 1
        kept = re.sub(r"^    (?:srcs|uses|libs) = \[\n(?:        [^\n]*\n)*    \],\n", "", text[start.end():end], flags=re.M)
        text = text[:start.end()] + kept + body + text[end:]
    with open(os.path.join(root, ROOMS), "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    if sys.argv[1:2] != ["fix"]:
        sys.exit("usage: build_lists.py fix    (writes CMake's lists into %s; lint.py builds compares them)" % ROOMS)
    fix(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
