#!/usr/bin/env python3
"""How soon a change of load shows: at the external metrics API, and in pods that are Ready.

    reaction_bench.py --bin FOLDER [--steps 4] [--namespaces 5] [--only ours|theirs] [--out FOLDER]

One control plane of its own for each side, one after the other: Wheelpit (k8s/base), then Prometheus at a scrape interval of 15 s with
the real prometheus-adapter. The same application runs in several namespaces at once, an HPA on its rate in each. A step raises the load
of one namespace from nothing, at a random moment; the API is asked through kube-apiserver, over connections that stay open, until its
answer differs from the one before (`reaction_visible`), and the pods until as many as the load needs are Ready (`reaction_ready`, HPA
sync 15 s). Meanwhile a metric that nobody has counted before is counted (`reaction_visible_new_series`), until a value above 0 is
there. Then the load ends, and the next step waits until the value is 0 and one pod is left.

Every step checks itself: the value agrees with what was sent, the replicas are exactly as many as it asks for and never more, and our
totals are the requests that were acknowledged. Otherwise there is no figure. Needs root, and about 19 minutes.
"""
import argparse
import http.client
import json
import math
import os
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from reaction_sides import TARGET, Ours, Theirs, clusters, testing  # noqa: E402

RATE = 18.0  # requests a second: four pods, with room for an error of a tenth on either side
PODS = math.ceil(RATE / TARGET)
NEW_RATE = 5.0
POLL = 0.05
NEW_POLL = 0.1
STATE_POLL = 0.2
SYNC = 15.0
TOLERANCE = 0.1
METRIC = testing.GROUP + "/namespaces/%s/%s"


class Gone(RuntimeError):
    """A step that cannot go on; the message says why."""


class Load(threading.Thread):
    """POST requests at an even rate, the first one at once, to the pods in turn."""

    def __init__(self, path, rate, addresses):
        super().__init__(daemon=True)
        self.path, self.rate, self.addresses = path, rate, addresses
        self.begun, self.over = threading.Event(), threading.Event()
        self.began, self.acked, self.error = None, [], None
        self.connections = {}

    def run(self):
        self.began = time.monotonic()
        self.begun.set()
        sent = 0
        try:
            while not self.over.is_set():
                pods = self.addresses()
                if not pods:
                    raise OSError("no pod is ready")
                self.post(pods[sent % len(pods)])
                self.acked.append(time.monotonic())
                sent += 1
                self.over.wait(max(0, self.began + sent / self.rate - time.monotonic()))
        except (OSError, http.client.HTTPException) as e:
            self.error = "a request to %s failed: %s" % (self.path, e)

    def post(self, pod):
        if pod not in self.connections:
            self.connections[pod] = http.client.HTTPConnection(pod, 8080, timeout=10)
        self.connections[pod].request("POST", self.path)
        answer = self.connections[pod].getresponse()
        answer.read()
        if answer.status != 200:
            raise OSError("status %d" % answer.status)

    def begin(self):
        """The moment before the first request."""
        self.start()
        self.begun.wait()
        return self.began

    def end(self):
        self.over.set()
        self.join()
        for connection in self.connections.values():
            connection.close()
        if self.error:
            raise Gone(self.error)

    def rate_over(self, window):
        """Requests a second that were acknowledged in the last `window` seconds."""
        now = time.monotonic()
        return sum(t > now - window for t in self.acked[:]) / window


class State:
    """What the HPA wants and what there is."""

    def __init__(self, desired, pods):
        self.desired = desired
        self.total = len(pods)
        self.ready = sorted((p["metadata"]["creationTimestamp"], p["status"]["podIP"]) for p in pods if testing.is_ready(p))

    def settled(self, pods):
        return self.desired == self.total == len(self.ready) == pods


class Lane(threading.Thread):
    """The steps of one namespace."""

    def __init__(self, side, cluster, number, steps):
        super().__init__(daemon=True)
        self.side, self.cluster, self.number, self.steps = side, cluster, number, steps
        self.namespace = "reaction-%d" % number
        self.random = random.Random(number)  # the same moments for both sides
        self.api, self.new_api = testing.Api(cluster), testing.Api(cluster)
        self.state = State(0, [])
        self.visible, self.ready, self.new, self.problems, self.points = [], [], [], [], []
        self.sent = 0

    def value(self, metric="reaction_requests_per_second", api=None):
        """The metric's value; None while there is none."""
        status, answer = (api or self.api).get(METRIC % (self.namespace, metric))
        if status != 200 or not answer["items"]:
            return None
        return sum(testing.quantity(item["value"]) for item in answer["items"])

    def look(self, since):
        """Asks for everything, notes and returns the value."""
        status, hpa = self.api.get("/apis/autoscaling/v2/namespaces/%s/horizontalpodautoscalers/app" % self.namespace)
        status_pods, pods = self.api.get("/api/v1/namespaces/%s/pods?labelSelector=app%%3Dreaction" % self.namespace)
        if status == status_pods == 200:
            self.state = State(hpa["status"].get("desiredReplicas", 0), pods["items"])
        value = self.value()
        self.points.append({"namespace": self.namespace, "after": round(time.monotonic() - since, 2), "value": value,
                            "desired": self.state.desired, "pods": self.state.total, "ready": len(self.state.ready)})
        return value

    def until(self, seconds, what, holds, since=None, poll=STATE_POLL):
        """Looks until holds(value); seconds since `since`."""
        start = time.monotonic()
        since = since or start
        while True:
            value = self.look(since)
            if holds(value):
                return time.monotonic() - since
            if time.monotonic() - start > seconds:
                raise Gone("%s: not within %d s: value %s, desired %d, pods %d, ready %d" % (
                    what, seconds, value, self.state.desired, self.state.total, len(self.state.ready)))
            time.sleep(poll)

    def run(self):
        try:
            time.sleep(self.random.uniform(0, SYNC))  # the HPAs' syncs are apart then
            self.cluster.apply(self.side.application(self.namespace))
            for number in range(self.steps):
                self.until(2 * self.side.window + 120, "quiet", lambda value: value == 0 and self.state.settled(1), poll=0.5)
                self.wait_quietly(self.random.uniform(0, SYNC))
                self.step(number)
                print("%s %s step %d: visible %.2f s, ready %.1f s, new series %.2f s" % (
                    self.side.key, self.namespace, number + 1, self.visible[-1], self.ready[-1], self.new[-1]), file=sys.stderr, flush=True)
        except (Gone, clusters.ClusterError) as e:
            self.problems.append("%s: %s" % (self.namespace, e))

    def wait_quietly(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(min(1.0, max(0.0, end - time.monotonic())))
            value = self.value()
            if value != 0:
                raise Gone("without load the value became %s" % value)

    def step(self, number):
        load = Load("/work", RATE, lambda: [address for _, address in self.state.ready])
        begin = load.begin()
        newcomer = threading.Thread(target=self.new_series, daemon=True,
                                    args=(number, self.state.ready[0][1], self.random.uniform(0, SYNC)))
        newcomer.start()
        self.visible.append(self.until_changed(begin))
        self.ready.append(self.until(240, "%d pods ready" % PODS, lambda value: self.state.settled(PODS), begin))

        def agrees(value):
            rate = load.rate_over(self.side.window)
            return value is not None and abs(value - rate) <= TOLERANCE * rate
        self.until(120, "a value like the load", agrees, begin)
        if not self.state.settled(PODS):
            raise Gone("%d replicas for %g requests/s, not %d" % (self.state.desired, RATE, PODS))
        newcomer.join()
        load.end()
        self.sent += len(load.acked)

    def until_changed(self, begin):
        while True:
            value = self.value()
            after = time.monotonic() - begin
            if value is not None and value != 0:
                return after
            if after > 120:
                raise Gone("no change of the value within 120 s")
            time.sleep(POLL)

    def new_series(self, number, pod, delay):
        try:
            time.sleep(delay)
            name = "reaction_new_%d_%d" % (self.number, number)
            status, answer = self.new_api.get(METRIC % (self.namespace, name + "_per_second"))
            if status != 404:
                raise Gone("%s is there before it is counted: %s %s" % (name, status, answer))
            load = Load("/count/%s_total" % name, NEW_RATE, lambda: [pod])
            begin = load.begin()
            while not self.value(name + "_per_second", self.new_api):
                if time.monotonic() - begin > 180:
                    raise Gone("no value of %s within 180 s" % name)
                time.sleep(NEW_POLL)
            self.new.append(time.monotonic() - begin)
            load.end()
        except Gone as e:
            self.problems.append("%s: %s" % (self.namespace, e))
            self.new.append(math.inf)


def measure(side, options):
    """The lanes of one side after their steps; None if anything was wrong."""
    start = time.monotonic()
    with clusters.running("reaction", sync="%gs" % SYNC, images=side.images()) as cluster:
        side.apply(cluster)
        print("%s is up after %.0f s" % (side.title, time.monotonic() - start), file=sys.stderr, flush=True)
        lanes = [Lane(side, cluster, n + 1, options.steps) for n in range(options.namespaces)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        problems = [p for lane in lanes for p in lane.problems]
        too_many = max((p["desired"] for lane in lanes for p in lane.points), default=0)
        if too_many > PODS:
            problems.append("the HPA wanted %d replicas, more than the %d that the load needs" % (too_many, PODS))
        time.sleep(1)
        problems = problems or side.problems(cluster, {lane.namespace: lane.sent for lane in lanes})
        with open(os.path.join(options.out, side.key + ".jsonl"), "w") as f:
            f.writelines(json.dumps(point) + "\n" for lane in lanes for point in lane.points)
        shutil.copytree(cluster.path("node", "logs"), os.path.join(options.out, side.key + "-logs"))
    print("%s took %.0f s%s" % (side.title, time.monotonic() - start, "".join("\n  " + p for p in problems)), file=sys.stderr, flush=True)
    return None if problems else lanes


def result(name, what, ours, theirs, conditions):
    line = {"name": name, "peer": "Prometheus at %d s + prometheus-adapter" % Theirs.scrape}
    for key, lanes in (("ours", ours), ("theirs", theirs)):
        values = [v for lane in lanes for v in getattr(lane, what)]
        line[key], line[key + "_max"] = round(statistics.median(values), 3), round(max(values), 3)
    line.update(unit="s", ratio=round(line["theirs"] / line["ours"], 2), ratio_max=round(line["theirs_max"] / line["ours_max"], 2),
                conditions=conditions)
    print(json.dumps(line), flush=True)


def report(ours, theirs, options):
    def conditions(load, poll, until):
        return ("p50 and max of %d steps, %d namespaces in parallel at random phases, a control plane (Kubernetes 1.36) for each side, one "
                "after the other; %s; asked through kube-apiserver every %g ms until %s; the application counts with libwheelpit (reports "
                "at its default interval) or on a page (scraped every %d s); rates over %d s (ours) and %d s (theirs)" % (
                    options.steps * options.namespaces, options.namespaces, load, poll * 1000, until, Theirs.scrape,
                    Ours.window, Theirs.window))
    step = "0 to %g requests/s, evenly" % RATE
    result("reaction_visible", "visible", ours, theirs, conditions(step, POLL, "the value is no longer 0"))
    result("reaction_visible_new_series", "new", ours, theirs, conditions(
        "a metric name that nobody used before, %g counts/s" % NEW_RATE, NEW_POLL,
        "there is a value above 0 (prometheus-adapter relists every %d s, 10 min by default)" % Theirs.relist))
    result("reaction_ready", "ready", ours, theirs, conditions(
        "%s, target %d a pod, HPA sync %g s" % (step, TARGET, SYNC), STATE_POLL, "the load's %d pods, before 1, are Ready" % PODS))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of wheelpit-server, wheelpit-adapter and reaction_app")
    parser.add_argument("--steps", type=int, default=4, help="of each namespace (default 4)")
    parser.add_argument("--namespaces", type=int, default=5, help="at once (default 5)")
    parser.add_argument("--only", choices=("ours", "theirs"), help="one side alone, without a figure")
    parser.add_argument("--out", help="folder for logs and the course of the run, kept (default: a temporary one, kept when something is wrong)")
    options = parser.parse_args()
    options.bin = os.path.abspath(options.bin)
    why = clusters.missing_rights()
    if why:
        print("reaction cannot run here: " + why, file=sys.stderr)
        return 1
    keep = options.out is not None
    options.out = os.path.abspath(options.out) if keep else tempfile.mkdtemp(prefix="reaction-")
    if keep:
        shutil.rmtree(options.out, ignore_errors=True)
        os.makedirs(options.out)
    sides = [side(options.bin, options.out) for side in (Ours, Theirs) if options.only in (None, side.key)]
    lanes = [measure(side, options) for side in sides]
    if None in lanes:
        print("no figure; see " + options.out, file=sys.stderr)
        return 1
    if not options.only:
        report(*lanes, options)
    if not keep:
        shutil.rmtree(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
