#!/usr/bin/env python3
"""Every `sh` block of the README runs, in order, in one shell session, from the repository's root.

    readme_test.py BIN_DIR ROOT

The session has a network of its own, so that the default ports are free, and `set -e -o pipefail`. A new block needs a line in
EXPECTED; a block of another kind needs a place in LEFT_OUT or CONFIG.
"""
import fcntl
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile

# Commands of the README that are not run here: they are this test's own run, and the demo is three minutes of the same programs.
# The last is what tests/cluster applies, there through `./run cluster`, as the README's bash block does it.
LEFT_OUT = {"./run demo", "./run test", "kubectl apply -k k8s/base"}
# What a block must print, by a command in it.
EXPECTED = {
    "until curl -fs http://127.0.0.1:7080/readyz": r"^ok$",
    "wheelpit submit --queue words --wait": r"\tsucceeded\tHELLO FROM THE QUEUE$",
    "wheelpit queues": r"^words\b.*\d",
    "--data-binary @README.md http://127.0.0.1:7080/heavywork": r'^\{"message": "Heavy work started", "id": "\d+-\d+"\}$',
    "grep heavywork_requests_total": r'^heavywork_requests_total\{.*\} 1$',
    "wheelpit query 'sum by (shop) (orders_total)'": r"\bnorth\b.*\b3\b(.|\n)*\bnorth\b.*\b3\b",  # and the increase after it
    "external.metrics.k8s.io": r'"metricName": ?"heavywork_requests_per_second"(.|\n)*"value": ?"\d+m?"',
}
STATE = "/tmp/wheelpit-readme"


def blocks(text):
    """(kind, content) of each fenced block, in order."""
    return [(m.group(1), m.group(2)) for m in re.finditer(r"^```(\S*)\n(.*?)^```$", text, re.M | re.S)]


def clean():
    shutil.rmtree(STATE, ignore_errors=True)
    if os.path.exists(STATE + ".log"):
        os.remove(STATE + ".log")


def bring_loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING


def check_others(others):
    failures = []
    for kind, content in others:
        if kind == "yaml":
            with tempfile.NamedTemporaryFile("w", suffix=".yml") as f:
                f.write(content)
                f.flush()
                checked = subprocess.run(["promtool", "check", "config", f.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                if checked.returncode != 0:
                    failures.append(f"promtool on the prometheus.yml: {checked.stdout}")
            continue
        for line in content.splitlines():
            if line.split("#")[0].strip() not in LEFT_OUT:
                failures.append(f"a block of kind {kind!r} that nobody runs: {line!r}")
    return failures


def run_session(bin_dir, root, shell_blocks, output):
    script = ["set -e -o pipefail"]
    for i, block in enumerate(shell_blocks):
        script += [f"echo '@@ {i}'", block.replace("build/dev/bin", os.path.relpath(bin_dir, root))]
    script.append("echo '@@ end'")
    # A process group of its own: what blocks leave in the background ends with it.
    session = subprocess.Popen(["bash", "-c", "\n".join(script)], cwd=root, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                               start_new_session=True, env={**os.environ, "HOME": STATE})
    code = session.wait()
    try:
        os.killpg(session.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
    return code


def main(bin_dir, root):
    with open(os.path.join(root, "README.md"), encoding="utf-8") as f:
        found = blocks(f.read())
    shell_blocks = [content for kind, content in found if kind == "sh"]
    failures = check_others([block for block in found if block[0] not in ("sh", "bash")])
    clean()
    with tempfile.TemporaryFile("w+") as output:
        code = run_session(bin_dir, root, shell_blocks, output)
        output.seek(0)
        printed = output.read()
    parts = re.split(r"^@@ (\w+)\n", printed, flags=re.M)
    by_block = dict(zip(parts[1::2], parts[2::2]))
    if code != 0 or "end" not in by_block:
        failures.append(f"the session ended with {code} in block {parts[-2] if len(parts) > 1 else '?'}")
    used = set()
    for i, block in enumerate(shell_blocks):
        wanted = [command for command in EXPECTED if command in block]
        if not wanted:
            failures.append(f"nothing is expected of the block:\n{block}")
        for command in wanted:
            used.add(command)
            if not re.search(EXPECTED[command], by_block.get(str(i), ""), re.M):
                failures.append(f"{command!r} did not print {EXPECTED[command]!r}")
    failures += [f"no block has {command!r} any more" for command in EXPECTED if command not in used]
    for failure in failures:
        print("FAILED:", failure)
    if failures:
        print("--- the session printed ---\n" + printed)
        if os.path.exists(STATE + ".log"):
            with open(STATE + ".log", encoding="utf-8") as f:
                print("--- the server logged ---\n" + f.read())
    clean()
    return 1 if failures else 0


if __name__ == "__main__":
    bin_dir, root = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    if "--inside" not in sys.argv:
        again = [sys.executable, os.path.abspath(__file__), bin_dir, root, "--inside"]
        for own_network in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
            if subprocess.run([*own_network, "true"], stderr=subprocess.DEVNULL).returncode == 0:
                os.execvp(own_network[0], [*own_network, *again])
        print("no network namespace to be had: the default ports must be free")
    else:
        bring_loopback_up()
    sys.exit(main(bin_dir, root))
