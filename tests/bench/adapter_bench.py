#!/usr/bin/env python3
"""Answers of the external metrics API: wheelpit-adapter on an aggregator against the real prometheus-adapter on Prometheus.

    adapter_bench.py --bin FOLDER [--rounds 5] [--seconds 4] [--scrape 15] [--only ours|theirs] [--out FOLDER]

One wheelpit-server counts 20 POSTs a second on its gateway; Prometheus scrapes it. Both adapters have the same rule file, the same
serving certificate, and the same real kube-apiserver to ask who the client is and what it may; the client is a ServiceAccount with a
bearer token. https_load asks each adapter in turn over HTTPS, connections kept alive: 1 connection, 32 that ask the same, and 32 of
which each asks something else.

Every answer must be 200 and every value within a tenth of the rate that was really sent; otherwise there is no figure. Memory is the
adapter's resident set after the load at 32 connections. Needs root, and about 4 minutes.
"""
import argparse
import contextlib
import ctypes
import http.client
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "cluster"))
import cluster as clusters  # noqa: E402
import testing  # noqa: E402
from pki import Pki  # noqa: E402

NAMESPACE = "adapter-bench"
METRIC = testing.GROUP + "/namespaces/%s/heavywork_requests_per_second" % NAMESPACE
RATE = 20.0  # requests a second that are counted
TOLERANCE = 0.1
# name: (connections, what they ask, in words)
LOADS = {
    "c1": (1, METRIC, "1 connection"),
    "c32_distinct": (32, METRIC + "?labelSelector=pod%21%3Dnone-{n}", "32 connections, each with a label selector of its own"),
    "c32": (32, METRIC, "32 connections that ask the same"),
}
PEER = "prometheus-adapter v0.12.0"

RULES = """externalRules:
- seriesQuery: '{__name__=~"^heavywork_.*_total$",namespace!=""}'
  resources: {overrides: {namespace: {resource: namespace}}}
  name: {matches: "^(.*)_total$", as: "${1}_per_second"}
  metricsQuery: 'sum(rate(<<.Series>>{<<.LabelMatchers>>}[1m]))'
"""


class Wrong(RuntimeError):
    """Why there is no figure."""


class Program:
    """A child that ends with this process."""

    def __init__(self, out, name, *arguments):
        libc = ctypes.CDLL(None)
        self.name, self.log = name, os.path.join(out, name + ".log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(arguments, cwd=out, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=lambda: libc.prctl(1, signal.SIGKILL))  # PR_SET_PDEATHSIG

    @property
    def pid(self):
        return self.process.pid

    def must_run(self):
        if self.process.poll() is not None:
            with open(self.log, "rb") as f:
                raise Wrong("%s ended; its last lines:\n%s" % (self.name, f.read()[-2000:].decode(errors="replace")))

    def resident_mib(self):
        with open("/proc/%d/status" % self.pid) as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:")) / 1024

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Work(threading.Thread):
    """POSTs on the gateway at an even rate, over one connection."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.connection = http.client.HTTPConnection(address, timeout=10)
        self.acked, self.error, self.over = [], None, threading.Event()

    def run(self):
        start = time.monotonic()
        try:
            while not self.over.is_set():
                self.connection.request("POST", "/heavywork", body=b"x")
                answer = self.connection.getresponse()
                answer.read()
                if answer.status != 202:
                    raise OSError("status %d" % answer.status)
                self.acked.append(time.monotonic())
                self.over.wait(max(0, start + len(self.acked) / RATE - time.monotonic()))
        except (OSError, http.client.HTTPException) as e:
            self.error = "a request to the gateway failed: %s" % e

    def rate(self, window=60.0):
        """Requests a second in the last minute."""
        now = time.monotonic()
        return sum(t > now - window for t in self.acked[:]) / window

    def check(self):
        if self.error:
            raise Wrong(self.error)

    def stop(self):
        self.over.set()
        self.join()


class Side:
    """One adapter with what it asks."""

    def __init__(self, key, adapter, source, port):
        self.key, self.adapter, self.source, self.port = key, adapter, source, port
        self.rounds = {load: [] for load in LOADS}
        self.memory = []

    def values(self, token):
        connection = testing.Connection("127.0.0.1", self.port, testing.unverified())
        answer = connection.ask(METRIC, {"Authorization": "Bearer " + token, "Accept": "application/json"})
        connection.close()
        if answer.status != 200:
            raise OSError(str(answer))
        return [testing.quantity(item["value"]) for item in answer.json["items"]]

    def median(self, load, what):
        return statistics.median(r[what] for r in self.rounds[load])


class Stage:
    """Everything that runs during the measurement."""

    def __init__(self, cluster, options, stack):
        self.cluster, self.bin, self.out, self.stack = cluster, options.bin, options.out, stack
        self.scrape = options.scrape
        self.accounts()
        self.files()
        self.start(options.only)

    def accounts(self):
        """The clients' and the adapters' ServiceAccounts with what k8s/base and prometheus-adapter's manifests grant them."""
        def binding(name, kind, role, account, namespace=None):
            metadata = dict({"name": name}, **({"namespace": namespace} if namespace else {}))
            return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
                    "metadata": metadata, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
                    "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}]}
        things = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
                  {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "bench-client"}, "rules": [
                      {"apiGroups": ["external.metrics.k8s.io"], "resources": ["*"], "verbs": ["get", "list"]}]},
                  binding("bench-client", "ClusterRole", "bench-client", "client")]
        for account in ("client", "ours", "theirs"):
            things.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": NAMESPACE}})
        for account in ("ours", "theirs"):
            things.append(binding("bench-delegator-" + account, "ClusterRole", "system:auth-delegator", account))
            things.append(binding("bench-reader-" + account, "Role", "extension-apiserver-authentication-reader", account, "kube-system"))
        self.cluster.apply("---\n".join(json.dumps(thing) + "\n" for thing in things))
        self.token = self.account_token("client")
        self.token_file = self.write("token", self.token)
        # Nothing more is scheduled or reconciled; what is left of the control plane answers the adapters' questions.
        for name in ("process-kubelet", "kube-controller-manager"):
            self.cluster.stop(name, patience=40)

    def account_token(self, account):
        return self.cluster.kubectl("-n", NAMESPACE, "create", "token", account, "--duration=2h").strip()

    def write(self, name, text):
        path = os.path.join(self.out, name)
        with open(path, "w", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
            f.write(text)
        return path

    def files(self):
        pki = Pki(self.cluster.path("pki"))
        pki.leaf("adapter-bench", "ca", "/CN=adapter-bench", "DNS:localhost,IP:127.0.0.1")
        self.certificate = pki.path("adapter-bench.crt"), pki.path("adapter-bench.key")
        self.rules = self.write("rules.yaml", RULES)
        for account in ("ours", "theirs"):
            self.write(account + ".kubeconfig", json.dumps({
                "apiVersion": "v1", "kind": "Config", "current-context": "bench",
                "clusters": [{"name": "bench", "cluster": {"server": self.cluster.server, "certificate-authority-data": pki.data("ca.crt")}}],
                "users": [{"name": "bench", "user": {"token": self.account_token(account)}}],
                "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}]}))

    def program(self, name, *arguments):
        program = Program(self.out, name, *arguments)
        self.stack.callback(program.stop)
        return program

    def start(self, only):
        ports_file = os.path.join(self.out, "ports.json")
        server = self.program("wheelpit-server", os.path.join(self.bin, "wheelpit-server"), "--data_dir=" + os.path.join(self.out, "data"),
                              "--grpc_port=0", "--http_port=0", "--apis_port=0", "--ports_file=" + ports_file,
                              "--pod_namespace=" + NAMESPACE, "--pod_name=gateway")
        clusters.wait_for(60, "wheelpit-server", lambda: os.path.exists(ports_file), server.must_run)
        with open(ports_file) as f:
            ports = json.load(f)
        self.work = Work(ports["http"])
        self.work.start()
        self.stack.callback(self.work.stop)
        ours_port, theirs_port, prometheus_port = clusters.free_ports(3)
        self.sides = []
        if only != "theirs":
            adapter = self.program("wheelpit-adapter", os.path.join(self.bin, "wheelpit-adapter"), "--aggregator=" + ports["grpc"],
                                   *self.serving("ours", ours_port))
            self.sides.append(Side("ours", adapter, server, ours_port))
        if only != "ours":
            prometheus = self.prometheus(prometheus_port, ports["http"])
            adapter = self.program("prometheus-adapter", os.path.join(clusters.toolchain.ensure("prometheus-adapter"), "prometheus-adapter"),
                                   "--prometheus-url=http://127.0.0.1:%d/" % prometheus_port,
                                   "--lister-kubeconfig=" + os.path.join(self.out, "theirs.kubeconfig"),
                                   "--metrics-relist-interval=30s", *self.serving("theirs", theirs_port))
            self.sides.append(Side("theirs", adapter, prometheus, theirs_port))

    def serving(self, account, port):
        """What both adapters are told alike."""
        config = os.path.join(self.out, account + ".kubeconfig")
        return ("--config=" + self.rules, "--bind-address=127.0.0.1", "--secure-port=%d" % port, "--tls-cert-file=" + self.certificate[0],
                "--tls-private-key-file=" + self.certificate[1], "--authentication-kubeconfig=" + config, "--authorization-kubeconfig=" + config)

    def prometheus(self, port, target):
        self.write("prometheus.yml", json.dumps({"global": {"scrape_interval": "%ds" % self.scrape}, "scrape_configs": [
            {"job_name": "wheelpit", "honor_labels": True, "static_configs": [{"targets": [target]}]}]}))
        program = self.program("prometheus", "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb",
                               "--web.listen-address=127.0.0.1:%d" % port)
        testing.wait_for_port("127.0.0.1", port, program.process)
        return program

    def good(self, value):
        return abs(value - self.work.rate()) <= TOLERANCE * self.work.rate()

    def wait_steady(self):
        """Until a minute of work has been seen by both."""
        def steady(side):
            values = side.values(self.token)
            return len(values) == 1 and self.work.rate() > 0.98 * RATE and self.good(values[0])
        for side in self.sides:
            clusters.wait_for(180, side.key + " answers with the rate", lambda: steady(side), side.adapter.must_run)

    def load(self, side, name, seconds):
        connections, path, _ = LOADS[name]
        cpu = side.adapter.cpu_seconds(), side.source.cpu_seconds()
        done = subprocess.run([os.path.join(self.bin, "https_load"), "--address=127.0.0.1:%d" % side.port, "--path=" + path,
                               "--token_file=" + self.token_file, "--connections=%d" % connections, "--seconds=%g" % seconds],
                              stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise Wrong("%s, %s: not every request was answered" % (side.key, name))
        self.work.check()
        result = json.loads(done.stdout)
        if not (self.good(result["value_min"]) and self.good(result["value_max"])):
            raise Wrong("%s answered %g to %g, but %.2f requests/s were sent" % (
                side.key, result["value_min"], result["value_max"], self.work.rate()))
        side.rounds[name].append(result)
        # The loads' own warm-up is in the processor times, so these are for the eye only.
        answers = result["answers"] * (1 + min(1.0, seconds / 4) / seconds)
        print("  %-6s %-12s %7.0f/s, p50 %.3f ms, p99 %.3f ms; adapter %.0f µs, its source %.0f µs an answer; generator %.0f %% of a core" % (
            side.key, name, result["per_second"], result["p50_ms"], result["p99_ms"],
            (side.adapter.cpu_seconds() - cpu[0]) * 1e6 / answers, (side.source.cpu_seconds() - cpu[1]) * 1e6 / answers,
            100 * result["cpu_share"]), file=sys.stderr, flush=True)

    def measure(self, rounds, seconds):
        for number in range(rounds):
            for side in self.sides if number % 2 == 0 else self.sides[::-1]:
                for name in LOADS:
                    self.load(side, name, seconds)
                side.memory.append(side.adapter.resident_mib())
        for side in self.sides:
            print("  %-6s memory: adapter %.1f MiB, its source %.1f MiB" % (
                side.key, statistics.median(side.memory), side.source.resident_mib()), file=sys.stderr, flush=True)


def result(name, ours, theirs, unit, conditions, larger):
    print(json.dumps({"name": name, "peer": PEER, "ours": round(ours, 3), "theirs": round(theirs, 3), "unit": unit,
                      "ratio": round(ours / theirs if larger else theirs / ours, 2), "conditions": conditions}), flush=True)


def report(ours, theirs, options):
    for load, (_, _, words) in LOADS.items():
        shares = [max(r["cpu_share"] for r in side.rounds[load]) for side in (ours, theirs)]
        conditions = (
            "%s, one request outstanding on each; medians of %d rounds of %g s, the two in turn; HTTPS kept alive, bearer token of a "
            "ServiceAccount, authentication and authorization asked of one kube-apiserver (Kubernetes 1.36); one rule file; Prometheus "
            "scrapes every %d s; %d cores for all; the load generator took at most %.0f %% (ours) and %.0f %% (theirs) of a core" % (
                words, options.rounds, options.seconds, options.scrape, os.cpu_count(), 100 * shares[0], 100 * shares[1]))
        for suffix, what, unit in (("", "per_second", "requests/s"), ("_p50", "p50_ms", "ms"), ("_p99", "p99_ms", "ms")):
            result("adapter_external_" + load + suffix, ours.median(load, what), theirs.median(load, what), unit, conditions, unit != "ms")
    result("adapter_memory", statistics.median(ours.memory), statistics.median(theirs.memory), "MiB",
           "resident set of the adapter alone after the loads, median of %d rounds" % options.rounds, False)


def run(options):
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(clusters.running("adapter-bench"))
        stage = Stage(cluster, options, stack)
        stage.wait_steady()
        stage.measure(options.rounds, options.seconds)
    if not options.only:
        report(*stage.sides, options)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of wheelpit-server, wheelpit-adapter and https_load")
    parser.add_argument("--rounds", type=int, default=5, help="of each side (default 5)")
    parser.add_argument("--seconds", type=float, default=4, help="of each load (default 4)")
    parser.add_argument("--scrape", type=int, default=15, help="Prometheus' scrape interval in seconds (default 15)")
    parser.add_argument("--only", choices=("ours", "theirs"), help="one side alone, without a figure")
    parser.add_argument("--out", help="folder for logs, kept (default: a temporary one, kept when something is wrong)")
    options = parser.parse_args()
    options.bin = os.path.abspath(options.bin)
    why = clusters.missing_rights()
    if why:
        print("adapter cannot run here: " + why, file=sys.stderr)
        return 1
    keep = options.out is not None
    options.out = os.path.abspath(options.out) if keep else tempfile.mkdtemp(prefix="adapter-bench-", dir="/var/tmp")
    if keep:
        shutil.rmtree(options.out, ignore_errors=True)
        os.makedirs(options.out)
    try:
        run(options)
    except (Wrong, clusters.ClusterError) as e:
        print("no figure: %s; see %s" % (e, options.out), file=sys.stderr)
        return 1
    if not keep:
        shutil.rmtree(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
