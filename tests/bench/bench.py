#!/usr/bin/env python3
"""Runs benchmarks and shows what they measured: bench.py --bin DIR [--json] [NAME…]

NAME is a benchmark (default: all but reaction and adapter, which need root and a control plane, and 20 and 4 minutes). A line without a
figure means that the run's own check of its result failed.
"""
import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

# name: (program, arguments, the least ratio that the project asks of each line)
BENCHES = {
    "report_applied": ("report_bench", [], {"report_applied": 0.3}),
    "queue_durable": ("queue_bench", [], {"queue_durable": 15}),
    "scrape": ("scrape_bench", [], {"scrape": 10}),
    "reaction": ("reaction_bench.py", [], {"reaction_visible": 20}),
    "adapter": ("adapter_bench.py", [], {"adapter_external_c1_": None, "adapter_external_c32_": None, "adapter_external": 5, "adapter_memory": 4}),
}
# On a real control plane: only when named.
APART = ("reaction", "adapter")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of the programs")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of: " + " ".join(BENCHES))
    options = parser.parse_args()
    unknown = [n for n in options.names if n not in BENCHES]
    if unknown:
        parser.error("no benchmark %s; known are %s" % (", ".join(unknown), ", ".join(BENCHES)))
    failed = 0
    for name in options.names or [n for n in BENCHES if n not in APART]:
        program, arguments, least = BENCHES[name]
        command = [os.path.join(options.bin, program)] if not program.endswith(".py") else [sys.executable, os.path.join(HERE, program)]
        command += arguments
        if program != "scrape_bench":
            command.append("--bin=" + options.bin)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if options.json:
                    print(line, end="", flush=True)
                    continue
                r = json.loads(line)
                asked = next((v for k, v in least.items() if r["name"].startswith(k)), None)
                if r["name"].endswith("_depth1"):
                    asked = None
                most = ", at most %.4g against %.4g" % (r["ours_max"], r["theirs_max"]) if "ours_max" in r else ""
                print("%-28s %12.4g %s against %.4g of %s%s: ratio %.3g%s\n%30s%s" % (
                    r["name"], r["ours"], r["unit"], r["theirs"], r["peer"], most, r["ratio"],
                    "" if asked is None else " (asked: %g)" % asked, "", r["conditions"]), flush=True)
        if process.returncode != 0:
            print("%s ended with status %d: no figure" % (name, process.returncode), file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
