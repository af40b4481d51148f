#!/usr/bin/env python3
"""The README's bash blocks, which need a control plane, run as they stand, in an instance of their own: and the replicas move.

    readme_test.py BIN_DIR

Exit status 77: it cannot run here. Needs root.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cluster as clusters  # noqa: E402
import testing  # noqa: E402

ROOT = clusters.toolchain.ROOT


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", help="folder of the built programs")
    bin_dir = os.path.abspath(parser.parse_args().bin)
    if testing.cannot_run():
        return testing.SKIPPED
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        blocks = re.findall(r"^```bash\n(.*?)^```$", f.read(), re.M | re.S)
    if not blocks:
        print("FAILED: the README has no bash block")
        return 1
    state = tempfile.mkdtemp(prefix="readme-", dir=os.environ.get("TEST_TMPDIR"))
    environment = dict(os.environ, WHEELPIT_CLUSTER_STATE=state, BUILD=os.path.dirname(bin_dir))
    script = "set -e -o pipefail\n" + "\n".join(blocks).replace("build/dev/bin", bin_dir)
    try:
        done = subprocess.run(["bash", "-c", script], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=600)
    finally:
        subprocess.run([sys.executable, os.path.join(clusters.toolchain.HERE, "cluster.py"), "down"], env=environment, cwd=ROOT)
        shutil.rmtree(state, ignore_errors=True)
    print(done.stdout)
    replicas = re.search(r"^heavywork +Deployment/heavywork-worker +\S+/20 \(avg\) +1 +10 +(\d+) ", done.stdout, re.M)
    failures = testing.Failures()
    failures.check(done.returncode == 0, "the blocks end well: status %d" % done.returncode)
    failures.check(bool(replicas) and int(replicas.group(1)) > 1, "replicas moved: %s" % (replicas and replicas.group(1)))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
