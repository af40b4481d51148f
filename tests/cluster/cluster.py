#!/usr/bin/env python3
"""A real Kubernetes control plane on this machine, without containers: etcd, kube-apiserver with the aggregation layer,
kube-controller-manager, and a kubelet that runs pods as processes. The tests and `./run cluster` use the same code.

    cluster.py up [--sync 15s]      start one and keep it running
    cluster.py down                 end it and remove everything of it
    cluster.py status               what runs, and how to reach it
    cluster.py kubectl …            kubectl on it
    cluster.py prepare              build what the tests need, where they can run

Each instance has its own bridge, address range, ports and folder, so several run side by side. --name picks one (default "main").
Needs root (network namespaces).
"""
import argparse
import contextlib
import ctypes
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import toolchain  # noqa: E402
from pki import Pki  # noqa: E402

STATE = os.environ.get("WHEELPIT_CLUSTER_STATE", os.path.join(toolchain.CACHE, "run"))
CONTROLLERS = ("deployment-controller,replicaset-controller,horizontal-pod-autoscaler-controller,endpoints-controller,"
               "endpointslice-controller,serviceaccount-controller,serviceaccount-token-controller,"
               "root-ca-certificate-publisher-controller,namespace-controller,garbage-collector-controller,job-controller,"
               "statefulset-controller,disruption-controller")
# node-lifecycle is left out: nothing renews leases here.
ORDER = ("etcd", "kube-apiserver", "kube-controller-manager", "process-kubelet")
PR_SET_PDEATHSIG = 1


class ClusterError(RuntimeError):
    pass


def missing_rights():
    """Why a cluster cannot run here; None if it can."""
    if os.geteuid() != 0:
        return "needs root for network namespaces"
    probe = "wpprobe%d" % os.getpid()
    done = subprocess.run(["ip", "link", "add", probe, "type", "bridge"], stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        return "needs NET_ADMIN: " + done.stderr.strip()
    subprocess.run(["ip", "link", "del", probe])
    # Each pod is entered by `ip netns exec`, which also needs a root folder that is a mount point; that of a plain chroot is none.
    subprocess.run(["ip", "netns", "add", probe], stderr=subprocess.PIPE)
    done = subprocess.run(["ip", "netns", "exec", probe, "true"], stderr=subprocess.PIPE, text=True)
    subprocess.run(["ip", "netns", "del", probe], stderr=subprocess.PIPE)
    if done.returncode != 0:
        return "cannot enter network namespaces (a chroot's root must be a mount point): " + done.stderr.strip()
    return None


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def started_at(pid):
    """The start time of a process, which with its number names it for good; None if it does not run."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def wait_for(seconds, what, probe, alive=lambda: None):
    """Calls probe until it is true; ClusterError with the last reason when the time is over."""
    end = time.monotonic() + seconds
    reason = ""
    while time.monotonic() < end:
        try:
            value = probe()
            if value:
                return value
        except (OSError, subprocess.SubprocessError, ClusterError, ValueError, KeyError, IndexError) as e:
            reason = str(e)
        alive()
        time.sleep(0.05)
    raise ClusterError("timed out after %g s: %s (%s)" % (seconds, what, reason))


class Cluster:
    """One control plane. owned=True: it ends with this process, however that ends."""

    def __init__(self, name="main", sync="15s", images=None, owned=False):
        self.name, self.sync, self.owned = name, sync, owned
        self.folder = os.path.join(STATE, name)
        self.file = os.path.join(self.folder, "cluster.json")
        self.images = images or {}
        self.data = {"processes": {}}
        if os.path.exists(self.file):
            with open(self.file) as f:
                self.data = json.load(f)
        self.children = {}

    # --- what it is made of -----------------------------------------------------------------------------------------------------

    @property
    def kubeconfig(self):
        return os.path.join(self.folder, "admin.kubeconfig")

    @property
    def host(self):
        return self.data["net"] + ".0.1"

    @property
    def server(self):
        return "https://127.0.0.1:%d" % self.data["ports"]["api"]

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def save(self):
        with open(self.file + ".new", "w") as f:
            json.dump(self.data, f, indent=1)
        os.replace(self.file + ".new", self.file)

    def claim(self):
        """Takes a bridge and with it an address range: making the bridge is atomic, so two instances never share one."""
        for n in range(1, 56):
            bridge = "wpbr%d" % n
            if subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], stderr=subprocess.DEVNULL).returncode == 0:
                # Its name is free for others as soon as the kubelet has removed it, so it carries a sign that it is ours.
                claim = "wheelpit " + secrets.token_hex(8)
                subprocess.run(["ip", "link", "set", "dev", bridge, "alias", claim], check=True)
                self.data.update(bridge=bridge, claim=claim, net="10.%d" % (199 + n))
                subprocess.run(["ip", "addr", "replace", self.host + "/16", "dev", bridge], check=True)
                subprocess.run(["ip", "link", "set", bridge, "up"], check=True)
                return
        raise ClusterError("no free bridge wpbr1..55: remove left ones with `ip link del`")

    # --- processes ----------------------------------------------------------------------------------------------------------------

    def running(self, name):
        p = self.data["processes"].get(name)
        return p is not None and started_at(p["pid"]) == p["start"]

    def spawn(self, name, *arguments):
        if self.running(name):
            return
        libc = ctypes.CDLL(None)
        owned = self.owned

        def child():
            os.setsid()
            if owned:
                libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

        with open(self.path(name + ".log"), "ab") as log:
            p = subprocess.Popen([os.path.join(toolchain.BIN, name)] + list(arguments), stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=log, cwd=self.folder, preexec_fn=child)
        self.children[name] = p
        self.data["processes"][name] = {"pid": p.pid, "start": started_at(p.pid), "arguments": list(arguments)}
        self.save()

    def stop(self, name, sig=signal.SIGTERM, patience=5.0):
        p = self.data["processes"].get(name)
        if p is None or not self.running(name):
            return
        os.kill(p["pid"], sig)
        end = time.monotonic() + patience
        while self.running(name) and time.monotonic() < end:
            if name in self.children:
                self.children[name].poll()
            time.sleep(0.05)
        if self.running(name):
            os.kill(p["pid"], signal.SIGKILL)
            if name in self.children:
                self.children[name].wait()

    def restart(self, name):
        """Starts a stopped part again as it was."""
        arguments = self.data["processes"][name]["arguments"]
        self.spawn(name, *arguments)
        if name == "kube-apiserver":
            wait_for(60, "kube-apiserver", self.ready)

    def must_run(self, name):
        def check():
            if not self.running(name):
                with open(self.path(name + ".log"), "rb") as f:
                    raise SystemExit("%s ended; its last lines:\n%s" % (name, f.read()[-2000:].decode(errors="replace")))
        return check

    # --- up and down ----------------------------------------------------------------------------------------------------------------

    def up(self):
        why = missing_rights()
        if why:
            raise ClusterError("a cluster cannot run here: " + why)
        toolchain.ensure("hyperkube", "process-kubelet")
        os.makedirs(self.folder, exist_ok=True)
        with open(self.path("lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if "bridge" not in self.data:
                self.claim()
                self.data["ports"] = dict(zip(("etcd", "peer", "api", "kcm"), free_ports(4)))
                self.save()
                pki = Pki(self.path("pki"))
                pki.make(self.host, "10.96.0.1")
                for user in ("admin", "kubelet", "kcm"):
                    pki.kubeconfig(user, self.server, self.path(user + ".kubeconfig"))
            with open(self.path("images.json"), "w") as f:
                json.dump(self.images, f)
            self.start_etcd()
            self.start_apiserver()
            self.start_controllers()
            self.spawn("process-kubelet", "-kubeconfig", self.path("kubelet.kubeconfig"), "-net", self.data["net"], "-bridge",
                       self.data["bridge"], "-state", self.path("node"), "-images", self.path("images.json"), "-filesd",
                       self.path("pods.json"))
            wait_for(20, "the node", lambda: self.get("/api/v1/nodes/node"), self.must_run("process-kubelet"))
        return self

    def start_etcd(self):
        ports = self.data["ports"]
        url, peer = "http://127.0.0.1:%d" % ports["etcd"], "http://127.0.0.1:%d" % ports["peer"]
        # Tests' state may be lost with the machine, so etcd need not sync.
        self.spawn("etcd", "--name", "one", "--data-dir", self.path("etcd"), "--listen-client-urls", url, "--advertise-client-urls", url,
                   "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "one=" + peer,
                   "--unsafe-no-fsync")

        def healthy():
            with socket.create_connection(("127.0.0.1", ports["etcd"]), timeout=1):
                return True
        wait_for(30, "etcd", healthy, self.must_run("etcd"))

    def ready(self):
        return self.kubectl("get", "--raw", "/readyz", timeout=5) == "ok"

    def start_apiserver(self):
        pki = self.path("pki") + "/"
        self.spawn(
            "kube-apiserver", "--etcd-servers=http://127.0.0.1:%d" % self.data["ports"]["etcd"],
            "--secure-port=%d" % self.data["ports"]["api"], "--bind-address=0.0.0.0", "--advertise-address=" + self.host,
            "--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=RBAC", "--client-ca-file=" + pki + "ca.crt",
            "--tls-cert-file=" + pki + "apiserver.crt", "--tls-private-key-file=" + pki + "apiserver.key",
            "--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + pki + "sa.pub",
            "--service-account-signing-key-file=" + pki + "sa.key",
            "--requestheader-client-ca-file=" + pki + "front-proxy-ca.crt", "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-uid-headers=X-Remote-Uid", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--proxy-client-cert-file=" + pki + "front-proxy-client.crt", "--proxy-client-key-file=" + pki + "front-proxy-client.key",
            # No kube-proxy here: the API server dials endpoints, not cluster addresses.
            "--enable-aggregator-routing=true", "--profiling=false")
        wait_for(90, "kube-apiserver", self.ready, self.must_run("kube-apiserver"))

    def start_controllers(self):
        pki, config = self.path("pki") + "/", self.path("kcm.kubeconfig")
        self.spawn(
            "kube-controller-manager", "--kubeconfig=" + config, "--authentication-kubeconfig=" + config,
            "--authorization-kubeconfig=" + config, "--client-ca-file=" + pki + "ca.crt",
            "--requestheader-client-ca-file=" + pki + "front-proxy-ca.crt", "--tls-cert-file=" + pki + "kcm.crt",
            "--tls-private-key-file=" + pki + "kcm.key", "--secure-port=%d" % self.data["ports"]["kcm"], "--bind-address=127.0.0.1",
            "--leader-elect=false", "--use-service-account-credentials=true", "--service-account-private-key-file=" + pki + "sa.key",
            "--root-ca-file=" + pki + "ca.crt", "--profiling=false", "--controllers=" + CONTROLLERS,
            "--horizontal-pod-autoscaler-sync-period=" + self.sync)
        wait_for(60, "the default service account", lambda: self.get("/api/v1/namespaces/default/serviceaccounts/default"),
                 self.must_run("kube-controller-manager"))

    def down(self):
        for name in [n for n in self.data["processes"] if n not in ORDER] + list(reversed(ORDER)):
            # The kubelet ends its pods and clears its namespaces and bridge.
            self.stop(name, patience=40 if name == "process-kubelet" else 3)
        self.clear_network()
        self.clear_mount_points()
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear_mount_points(self):
        """Folders that a killed kubelet made for its pods to mount over."""
        with contextlib.suppress(OSError), open(self.path("node", "mountpoints")) as f:
            for path in reversed(f.read().split()):
                with contextlib.suppress(OSError):
                    os.unlink(path) if os.path.isfile(path) else os.rmdir(path)

    def holds_bridge(self):
        if "bridge" not in self.data:
            return False
        shown = subprocess.run(["ip", "-j", "link", "show", "dev", self.data["bridge"]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return shown.returncode == 0 and json.loads(shown.stdout)[0].get("ifalias") == self.data["claim"]

    def clear_network(self):
        """What a killed kubelet left; one that ended by itself cleared everything, and its bridge's name may be another instance's by now."""
        if not self.holds_bridge():
            return
        bridge = self.data["bridge"]
        with contextlib.suppress(OSError):
            for entry in os.listdir("/run/netns"):
                if entry.startswith(bridge + "-"):
                    pids = subprocess.run(["ip", "netns", "pids", entry], stdout=subprocess.PIPE, text=True).stdout.split()
                    for pid in pids:
                        with contextlib.suppress(OSError):
                            os.kill(int(pid), signal.SIGKILL)
                    subprocess.run(["ip", "netns", "del", entry], stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "link", "del", bridge], stderr=subprocess.DEVNULL)

    # --- talking to it ----------------------------------------------------------------------------------------------------------------

    def kubectl(self, *arguments, input=None, timeout=60, check=True):
        done = subprocess.run([os.path.join(toolchain.BIN, "kubectl")] + list(arguments), input=input, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=timeout, env=dict(os.environ, KUBECONFIG=self.kubeconfig))
        if check and done.returncode != 0:
            raise ClusterError("kubectl %s: %s" % (" ".join(arguments), done.stderr.strip()))
        return done.stdout

    def get(self, path):
        """The object at an API path."""
        return json.loads(self.kubectl("get", "--raw", path))

    def apply(self, text, namespace=None):
        return self.kubectl(*(["-n", namespace] if namespace else []), "apply", "-f", "-", input=text)


def remove_orphans():
    """Instances whose owner is gone are taken down: a crashed test leaves nothing for the next one to trip over."""
    for name in os.listdir(STATE) if os.path.isdir(STATE) else []:
        cluster = Cluster(name)
        owner = cluster.data.get("owner")
        if owner and started_at(owner["pid"]) != owner["start"]:
            cluster.down()


@contextlib.contextmanager
def running(name, **options):
    """A cluster for the length of a `with`; ended with everything in it."""
    os.makedirs(STATE, exist_ok=True)
    remove_orphans()
    cluster = Cluster(name, owned=True, **options)
    if cluster.data["processes"]:
        cluster.down()
        cluster = Cluster(name, owned=True, **options)
    cluster.data["owner"] = {"pid": os.getpid(), "start": started_at(os.getpid())}
    try:
        yield cluster.up()
    finally:
        cluster.down()


def default_images(bin_dir):
    """The images that the manifests in k8s/ name, as the programs of a build."""
    return {
        "wheelpit/server:0.1.0": [os.path.join(bin_dir, "wheelpit-server")],
        "wheelpit/adapter:0.1.0": [os.path.join(bin_dir, "wheelpit-adapter")],
        "wheelpit/cli:0.1.0": [os.path.join(bin_dir, "wheelpit")],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="main", help="instance (default main)")
    parser.add_argument("--sync", default="15s", help="sync period of the HorizontalPodAutoscaler controller (default 15s)")
    parser.add_argument("--bin", default=os.path.join(toolchain.ROOT, "build", "dev", "bin"), help="folder of the built programs")
    parser.add_argument("command", choices=("up", "down", "status", "kubectl", "prepare"))
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if options.command != "kubectl":  # what follows kubectl is kubectl's; after the other commands come our own options
        options = parser.parse_args(options.rest + [options.command], options)
    if options.command == "prepare":
        if missing_rights() is None:
            toolchain.ensure("hyperkube", "process-kubelet")
            toolchain.service_monitor_crd()
        return 0
    cluster = Cluster(options.name, sync=options.sync, images=default_images(os.path.abspath(options.bin)))
    if options.command == "up":
        start = time.monotonic()
        cluster.up()
        print("up after %.1f s; export KUBECONFIG=%s" % (time.monotonic() - start, cluster.kubeconfig))
    elif options.command == "down":
        cluster.down()
    elif options.command == "status":
        if not cluster.data["processes"]:
            print("no cluster \"%s\"" % options.name)
            return 1
        for name in cluster.data["processes"]:
            print("%-26s %s" % (name, "runs" if cluster.running(name) else "ENDED, see " + cluster.path(name + ".log")))
        print("API %s, pods %s.0.0/16 on %s\nexport KUBECONFIG=%s" % (cluster.server, cluster.data["net"], cluster.data["bridge"], cluster.kubeconfig))
    else:
        kubectl = os.path.join(toolchain.BIN, "kubectl")
        if not os.path.exists(cluster.kubeconfig):
            print("no cluster \"%s\": start one with ./run cluster up" % options.name, file=sys.stderr)
            return 1
        os.execve(kubectl, [kubectl] + options.rest, dict(os.environ, KUBECONFIG=cluster.kubeconfig))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ClusterError as e:
        print("cluster: %s" % e, file=sys.stderr)
        sys.exit(1)
