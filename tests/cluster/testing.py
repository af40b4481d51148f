"""What the tests on the real control plane share: the API server over one connection, Wheelpit's pods, waiting, and the frame of a test."""
import argparse
import collections
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import tempfile
import time

import cluster as clusters

BASE = os.path.join(clusters.toolchain.ROOT, "k8s", "base")
NAMESPACE = "wheelpit"
GROUP = "/apis/external.metrics.k8s.io/v1beta1"
METRIC = GROUP + "/namespaces/wheelpit/heavywork_requests_per_second"
HPA_ACCOUNT = ("kube-system", "horizontal-pod-autoscaler")
SKIPPED = 77


class Failures(list):
    """What did not hold; the test goes on and tells all of it."""

    def check(self, holds, text):
        print("  %s  %s" % ("ok  " if holds else "FAIL", text), flush=True)
        if not holds:
            self.append(text)


class Answer:
    """What somebody said over HTTP."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.text = status, headers, body.decode(errors="replace")

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def message(self):
        """Of a Status; the text of anything else."""
        return self.json.get("message", self.text) if self.text.startswith("{") else self.text

    def __str__(self):
        return "%d %s" % (self.status, self.message.strip()[:300])


class Connection(http.client.HTTPSConnection):
    """To an address whose certificate may carry another name."""

    def __init__(self, address, port, context, name=None):
        super().__init__(address, port, timeout=15, context=context)
        self.name = name or address

    def connect(self):
        plain = socket.create_connection((self.host, self.port), self.timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._context.wrap_socket(plain, server_hostname=self.name)

    def ask(self, path, headers=None, method="GET", body=None):
        self.request(method, path, body=body, headers=headers or {})
        answer = self.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


class Api:
    """The API server, over one connection, as the administrator."""

    def __init__(self, cluster):
        self.port = cluster.data["ports"]["api"]
        pki = cluster.path("pki") + "/"
        self.context = ssl.create_default_context(cafile=pki + "ca.crt")
        self.context.load_cert_chain(pki + "admin.crt", pki + "admin.key")
        self.connection = None

    def ask(self, path, headers=None, method="GET", body=None):
        """An Answer; OSError or HTTPException when there is none. What only reads is asked again when an old connection has ended."""
        old = self.connection is not None
        if not old:
            self.connection = Connection("127.0.0.1", self.port, self.context)
        try:
            return self.connection.ask(path, headers, method, body)
        except (OSError, http.client.HTTPException):
            self.connection = None
            if not old or method != "GET":
                raise
        return self.ask(path, headers)

    def get(self, path):
        """(status, object)"""
        try:
            answer = self.ask(path, {"Accept": "application/json"})
            return answer.status, answer.json if answer.text.startswith("{") else answer.text
        except (OSError, http.client.HTTPException) as e:
            return 0, str(e)


def quantity(text):
    """A Kubernetes quantity as a number."""
    number, unit = re.fullmatch(r"(-?[0-9.]+)(m|k|M|)", text).groups()
    return float(number) * {"m": 1e-3, "": 1, "k": 1e3, "M": 1e6}[unit]


def condition(thing, kind):
    """(status, reason) of an object's condition; None without one."""
    return conditions(thing).get(kind)


def conditions(thing):
    return {c["type"]: (c["status"], c.get("reason")) for c in thing.get("status", {}).get("conditions", [])}


def is_ready(pod):
    return (condition(pod, "Ready") or ("",))[0] == "True" and not pod["metadata"].get("deletionTimestamp")


def unverified():
    """TLS to somebody whose certificate is its own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def wait_for_port(address, port, process):
    """Until somebody listens there; ClusterError when the process ends or takes a minute."""
    def listens():
        with socket.create_connection((address, port), timeout=1):
            return True

    def alive():
        if process.poll() is not None:
            raise clusters.ClusterError("%s ended with %d" % (process.args[0], process.returncode))
    clusters.wait_for(60, "%s on port %d" % (process.args[0], port), listens, alive)


class Wheelpit:
    """k8s/base on a cluster."""

    def __init__(self, cluster, bin_dir, out, failures):
        self.cluster, self.bin, self.out, self.failures = cluster, bin_dir, out, failures
        self.timings = collections.OrderedDict()

    def get(self, path):
        """The object at an API path."""
        return self.cluster.get(path)

    def pods(self, component):
        return self.get("/api/v1/namespaces/%s/pods?labelSelector=app.kubernetes.io%%2Fcomponent%%3D%s" % (NAMESPACE, component))["items"]

    def aggregator(self):
        return self.pods("aggregator")[0]["status"]["podIP"]

    def aggregator_ready(self):
        pods = self.pods("aggregator")
        return pods and is_ready(pods[0])

    def fetch(self, path):
        connection = http.client.HTTPConnection(self.aggregator(), 7080, timeout=30)
        connection.request("GET", path)
        return connection.getresponse().read().decode()

    def until(self, seconds, what, holds):
        """Seconds until it held; None, and a failure, when it did not in time."""
        start = time.monotonic()
        while time.monotonic() - start < seconds:
            try:
                if holds():
                    took = time.monotonic() - start
                    self.timings[what] = round(took, 1)
                    return took
            except (clusters.ClusterError, KeyError, IndexError, TypeError, ValueError, OSError, http.client.HTTPException):
                pass
            time.sleep(0.1)
        self.failures.check(False, "%s: not within %d s" % (what, seconds))
        return None

    def apply_base(self, folder=BASE):
        """Applies k8s/base, or a kustomization over it, and waits until every part of it answers. Raises if one does not."""
        failed_before = len(self.failures)
        self.cluster.kubectl("apply", "-k", folder)
        api = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"
        self.until(90, "APIService Available", lambda: condition(self.get(api), "Available")[0] == "True")
        self.until(60, "aggregator ready", self.aggregator_ready)
        # An adapter is ready though its aggregator is not: then it answers with an error. From here on both answer with values.
        bearer = {"Authorization": "Bearer " + self.token(*HPA_ACCOUNT)}
        self.until(60, "every adapter serves the metric", lambda: len(self.pods("adapter")) == 2 and all(
            self.direct(bearer, pod) == 200 for pod in self.pods("adapter")))
        self.until(60, "the metrics API lists the gateway's rate", lambda: any(
            r["name"] == "heavywork_requests_per_second" for r in self.get(GROUP)["resources"]))
        if len(self.failures) > failed_before:
            self.keep_logs()
            raise clusters.ClusterError("%s does not come up (%s); what the pods said is in %s" % (folder, self.failures[-1], self.out))

    def token(self, namespace, account):
        return self.cluster.kubectl("-n", namespace, "create", "token", account).strip()

    def direct(self, headers, pod=None):
        """The status that an adapter, the first if none is named, gives past the API server."""
        connection = Connection((pod or self.pods("adapter")[0])["status"]["podIP"], 6443, unverified())
        status = connection.ask(METRIC, headers).status
        connection.close()
        return status

    def adapter_logs(self):
        """The logs of the adapters that are there now."""
        text = ""
        for pod in self.pods("adapter"):
            with open(self.cluster.path("node", "logs", "%s_%s_adapter.log" % (NAMESPACE, pod["metadata"]["name"])), errors="replace") as f:
                text += f.read()
        return text

    def keep_logs(self):
        """The pods' logs, also of those that have ended, into the test's folder."""
        logs = self.cluster.path("node", "logs")
        for name in os.listdir(logs):
            shutil.copy(os.path.join(logs, name), self.out)


def arguments(doc):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", help="folder of wheelpit, wheelpit-server and wheelpit-adapter")
    parser.add_argument("--out", help="folder for ledgers, logs and the course of the run, kept (default: a temporary one)")
    return parser


def cannot_run():
    """True, and said where `./run test` reads it, when this machine has no right to a cluster."""
    why = clusters.missing_rights()
    if why:
        print("not run: " + why)
        if os.environ.get("NOT_RUN_FILE"):
            with open(os.environ["NOT_RUN_FILE"], "a") as f:
                f.write("cluster: %s\n" % why)
    return bool(why)


def main(name, options, run, sync="15s"):
    """Runs run(cluster, options, out, failures) on a cluster of its own; the exit status."""
    options.bin = os.path.abspath(options.bin)
    if cannot_run():
        return SKIPPED
    out = os.path.abspath(options.out) if options.out else tempfile.mkdtemp(prefix=name + "-", dir=os.environ.get("TEST_TMPDIR"))
    if options.out:
        shutil.rmtree(out, ignore_errors=True)
        os.makedirs(out)
    failures, start = Failures(), time.monotonic()
    with clusters.running(name, sync=sync, images=clusters.default_images(options.bin)) as cluster:
        print("cluster up after %.1f s" % (time.monotonic() - start), flush=True)
        run(cluster, options, out, failures)
    print("%s in %.0f s; see %s" % ("FAILED: " + "; ".join(failures) if failures else "passed", time.monotonic() - start, out))
    if not failures and not options.out:
        shutil.rmtree(out)
    return 1 if failures else 0
