#!/usr/bin/env python3
"""Checks all our sources with clang's thread-safety analysis: clang_check.py BUILD_DIR [CLANG]

Takes each command of compile_commands.json, replaces the compiler, and asks for the syntax only. It first makes sure that the
analysis is alive: a sample that reads guarded data without its lock must fail. Exit 0 = every source passed.
"""
import concurrent.futures
import json
import os
import shlex
import subprocess
import sys
import tempfile

SAMPLE = """
#include "base/sync.h"
struct S { wheelpit::Mutex mu; int n ABSL_GUARDED_BY(mu) = 0; };
int Read(S& s) { return s.n; }
"""
# Flags that only g++ knows, or that cost time without adding a check.
DROPPED = ("-fuse-ld=mold", "-fsanitize", "-fno-sanitize", "-g", "-O", "-W")


def arguments(command, clang):
    words = shlex.split(command)
    # ccache and its environment stand before the compiler.
    first = next(i for i, w in enumerate(words) if os.path.basename(w).startswith(("c++", "g++", "clang++")))
    kept, skip = [], False
    for w in words[first + 1:]:
        if skip:
            skip = False
        elif w in ("-o", "-c"):
            skip = w == "-o"
        elif not w.startswith(DROPPED):
            kept.append(w)
    return [clang, "-fsyntax-only", "-Wthread-safety", "-Werror", "-Wno-unknown-warning-option"] + kept


def run(job):
    words, folder, name = job
    p = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return name, p.returncode, p.stdout


def main():
    build = sys.argv[1]
    clang = sys.argv[2] if len(sys.argv) > 2 else "clang++-16"
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as f:
        commands = json.load(f)
    root = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
    ours = [c for c in commands
            if os.path.realpath(c["file"]).startswith(root + os.sep)
            and not os.path.realpath(c["file"]).startswith(os.path.realpath(build) + os.sep)]
    if not ours:
        print("no sources in %s/compile_commands.json" % build)
        return 1
    with tempfile.NamedTemporaryFile("w", suffix=".cc") as sample:
        sample.write(SAMPLE)
        sample.flush()
        words = arguments(ours[0]["command"], clang)[:-1] + ["-I" + root, sample.name]
        _, code, text = run((words, build, "sample"))
        if code == 0 or "requires holding mutex" not in text:
            print("the analysis is not alive: the sample that must fail passed\n" + text)
            return 1
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        jobs = [(arguments(c["command"], clang), c["directory"], os.path.relpath(c["file"], root)) for c in ours]
        for name, code, text in pool.map(run, jobs):
            if code != 0:
                failed += 1
                print("%s:\n%s" % (name, text))
    print("%d sources checked, %d failed" % (len(ours), failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
