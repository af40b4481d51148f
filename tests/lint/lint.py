#!/usr/bin/env python3
"""Checks of the sources that are ordinary tests.

    lint.py layers ROOT      who includes whom, by layers.txt
    lint.py banned ROOT      calls that have a replacement of ours
    lint.py map ROOT         every room is in the README's map
    lint.py sizes ROOT       long files and functions, by a list that only shrinks
    lint.py builds ROOT      CMake's and Bazel's lists of what is built, compared
    lint.py selftest ROOT    each check also fails on a sample that must fail

A failure names the file, the line and what to do instead. Exit 0 = nothing found.
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from build_lists import check_builds  # noqa: E402

SOURCE_DIRS = ("base", "server", "adapter", "client")
FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70


def sources(root, dirs=SOURCE_DIRS):
    for d in dirs:
        for folder, _, files in sorted(os.walk(os.path.join(root, d))):
            for f in sorted(files):
                if f.endswith((".h", ".cc")):
                    yield os.path.relpath(os.path.join(folder, f), root)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read()


def without_comments(text):
    """The same lines with comments and string literals blanked."""
    def blank(m):
        s = m.group(0)
        if s.startswith("/"):
            return re.sub(r"[^\n]", " ", s)
        return '"' + re.sub(r"[^\n]", " ", s[1:-1]) + '"' if s.startswith('"') else s
    pattern = re.compile(r'R"(\w*)\((?:.|\n)*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'|//[^\n]*|/\*(?:.|\n)*?\*/')

    def replace(m):
        s = m.group(0)
        if s.startswith("R\""):
            return re.sub(r"[^\n]", " ", s)
        return blank(m)
    return pattern.sub(replace, text)


# --- layers -------------------------------------------------------------------------------------------------------------------

def load_layers(path):
    allowed, only = {}, []
    with open(path, encoding="utf-8") as f:
        for line in f:
            line = line.split("#")[0].strip()
            if not line:
                continue
            head, _, tail = line.partition(":")
            if head.startswith("only "):
                only.append((head[5:].strip(), set(tail.split())))
            else:
                allowed[head.strip()] = set(tail.split())
    closed = {}

    def close(room, path=()):
        if room in path:
            raise SystemExit("layers.txt: a circle through " + " -> ".join(path + (room,)))
        if room not in closed:
            if room not in allowed:
                raise SystemExit('layers.txt: room "%s" is used but has no line' % room)
            result = set(allowed[room])
            for r in allowed[room]:
                result |= close(r, path + (room,))
            closed[room] = result
        return closed[room]

    for room in allowed:
        close(room)
    return closed, only


def room_of(path, rooms):
    folder = os.path.dirname(path)
    while folder:
        if folder in rooms:
            return folder
        folder = os.path.dirname(folder)
    return None


def check_layers(root):
    allowed, only = load_layers(os.path.join(root, "tests/lint/layers.txt"))
    found = []
    for path in sources(root):
        room = room_of(path, allowed)
        if room is None:
            found.append('%s: its room is not in tests/lint/layers.txt; add a line for it' % path)
            continue
        for number, line in enumerate(read(root, path).split("\n"), 1):
            m = re.match(r'\s*#\s*include\s*([<"])([^">]+)[">]', line)
            if not m:
                continue
            header = m.group(2)
            if header.endswith(".pb.h"):
                target = "proto"
            elif m.group(1) == '"':
                target = room_of(header, allowed)
            else:
                target = None
            if target and target != room and target not in allowed[room]:
                found.append("%s:%d: %s may not include %s (%s); see tests/lint/layers.txt" % (path, number, room, target, header))
            for prefix, rooms in only:
                base = header[:-2] if header.endswith(".h") and not prefix.endswith(".h") else header
                if (base == prefix or header.startswith(prefix + "/") or header.startswith(prefix + "pp/")
                        or header == prefix) and room not in rooms:
                    found.append("%s:%d: only %s may include %s" % (path, number, ", ".join(sorted(rooms)), header))
            if target == "proto" and room in ("server/queue", "server/ingest") and not path.endswith("/record_codec.cc"):
                found.append("%s:%d: in this room only record_codec.cc may know protos" % (path, number))
    return found


# --- banned calls ---------------------------------------------------------------------------------------------------------------

BANNED = [
    # pattern, what to do instead, files that may (regex)
    (r"\bsystem_clock\b|\bsteady_clock\b|\bhigh_resolution_clock\b|\bgettimeofday\b|\bclock_gettime\b|\babsl::Now\s*\(|\btime\s*\(\s*(nullptr|NULL|0)\s*\)",
     "take time as an argument, or base/clock.h from app", r"^base/clock\.cc$"),
    (r"\babsl::SleepFor\b|\bsleep_for\b|\bsleep_until\b|\busleep\s*\(|\bnanosleep\s*\(|(?<![\w:.>])sleep\s*\(",
     "wait on a CondVar with a deadline, or let app's timer call you", r"^$"),
    (r"\bthrow\b", "return absl::Status", r"^$"),
    (r"\babsl::Mutex\b|\bstd::mutex\b|\bstd::shared_mutex\b|\bstd::condition_variable\b",
     "wheelpit::Mutex and CondVar of base/sync.h", r"^base/sync\.h$"),
    (r"\bABSL_FLAG\b", "base/options.h", r"^$"),
    (r"\bstd::regex\b", "RE2", r"^$"),
    (r"\bstd::random_device\b|\bstd::mt19937|\brand\s*\(\s*\)|\babsl::BitGen\b", "base/random.h", r"^base/random\.cc$"),
]
# Threads belong to app/ in the server and the adapter; the SDK and the command line own theirs and say so.
THREADS = (r"\bstd::thread\b|\bstd::jthread\b|\bpthread_create\b|\bstd::async\b", "let app/ make the thread",
           r"^server/app/|^adapter/app/|^client/(sdk|cli|loadgen)/")


def check_banned(root):
    found = []
    for path in sources(root):
        text = without_comments(read(root, path))
        for number, line in enumerate(text.split("\n"), 1):
            for pattern, instead, may in BANNED + [THREADS]:
                # Static members of std::thread (hardware_concurrency, thread::id) make none.
                probe = re.sub(r"\bstd::thread::\w+", "", line)
                m = re.search(pattern, probe)
                if m and not re.search(may, path):
                    found.append("%s:%d: %s is banned here: %s" % (path, number, m.group(0).strip(), instead))
    return found


# --- the README's map -------------------------------------------------------------------------------------------------------------

def check_map(root):
    allowed, _ = load_layers(os.path.join(root, "tests/lint/layers.txt"))
    readme = read(root, "README.md")
    found = []
    for room in sorted(allowed):
        if not os.path.isdir(os.path.join(root, room)):
            found.append("tests/lint/layers.txt: %s has no folder; drop its line" % room)
        elif "`%s/`" % room not in readme:
            found.append("README.md: the map of rooms has no `%s/`" % room)
    for top in ("tests", "docs", "k8s", "cmake", "bazel-optional"):
        if "`%s/`" % top not in readme:
            found.append("README.md: the map of rooms has no `%s/`" % top)
    return found


# --- sizes --------------------------------------------------------------------------------------------------------------------------

def long_functions(text):
    """(name, lines) of each function body over the limit, by brace depth on text without comments."""
    result = []
    lines = text.split("\n")
    start = None
    for i, line in enumerate(lines):
        # A definition at namespace level, or indented once in a class; its body ends at a brace of the same indentation.
        if start is None:
            m = re.match(r"^(\s{0,2})([\w:<>,&*~\[\]\s\"()=.\-+/|!?]*)\)\s*(?:const|noexcept|override|final|ABSL_\w+\([^)]*\)|\s)*\{\s*$", line)
            if m and not re.match(r"^\s*(if|for|while|switch|else|do|namespace|class|struct|enum)\b", line):
                start = (i, m.group(1), line.strip())
        elif re.match("^" + start[1] + r"\}", line):
            length = i - start[0] + 1
            if length > FUNCTION_LINES_MAX:
                result.append((start[2], length, start[0] + 1))
            start = None
    return result


def load_exceptions(root):
    result = {}
    path = os.path.join(root, "tests/lint/size_exceptions.txt")
    with open(path, encoding="utf-8") as f:
        for line in f:
            line = line.split("#")[0].strip()
            if line:
                limit, name = line.split(None, 1)
                result[name] = int(limit)
    return result


def check_sizes(root):
    exceptions = load_exceptions(root)
    used = set()
    found = []

    def judge(key, length, limit, where):
        if key in exceptions:
            used.add(key)
            if length > exceptions[key]:
                found.append("%s: %d lines, its exception allows %d" % (where, length, exceptions[key]))
            elif length <= limit:
                found.append("%s: fits now; drop its line from tests/lint/size_exceptions.txt" % where)
        elif length > limit:
            found.append("%s: %d lines, limit %d; split it by subject" % (where, length, limit))

    for path in sources(root, SOURCE_DIRS + ("tests",)):
        if path.startswith("tests/lint/samples/"):
            continue
        text = read(root, path)
        judge(path, text.count("\n"), FILE_LINES_MAX, path)
        if path.startswith("tests/"):
            continue
        seen = {}
        for name, length, number in long_functions(without_comments(text)):
            m = re.search(r"([\w:~]+)\s*\(", name)
            key = "%s %s" % (path, m.group(1) if m else name)
            seen[key] = max(seen.get(key, 0), length)
            judge(key, length, FUNCTION_LINES_MAX, "%s:%d %s" % (path, number, key.split(" ", 1)[1]))
        for key in exceptions:
            if key.startswith(path + " ") and key not in seen:
                used.add(key)
                found.append("%s fits now or is gone; drop its line from tests/lint/size_exceptions.txt" % key)
    for key in set(exceptions) - used:
        found.append("tests/lint/size_exceptions.txt: %s is not needed; drop the line" % key)
    return found


CHECKS = {"layers": check_layers, "banned": check_banned, "map": check_map, "sizes": check_sizes, "builds": check_builds}


def selftest(root):
    """Each sample folder is a small tree with one fault of the kind that its name says; the check must find exactly that."""
    samples = os.path.join(root, "tests/lint/samples")
    found = []
    for name in sorted(CHECKS):
        sample = os.path.join(samples, name)
        if not os.path.isdir(sample):
            found.append("tests/lint/samples/%s is missing: no lint without a sample that fails" % name)
            continue
        expected = [l.strip() for l in read(sample, "expect.txt").split("\n") if l.strip()]
        result = CHECKS[name](sample)
        for text in expected:
            if not any(text in r for r in result):
                found.append('sample %s: expected a finding with "%s", got %s' % (name, text, result or "none"))
        if len(result) != len(expected):
            found.append("sample %s: expected %d findings, got %s" % (name, len(expected), result))
    return found


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in list(CHECKS) + ["selftest"]:
        sys.stderr.write(__doc__)
        return 2
    found = selftest(sys.argv[2]) if sys.argv[1] == "selftest" else CHECKS[sys.argv[1]](sys.argv[2])
    for line in found:
        print(line)
    print("%d findings" % len(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
