#!/usr/bin/env python3
"""The main job on Kubernetes' own code: k8s/base as it is on a real control plane, users' requests at random times, the real
HorizontalPodAutoscaler controller deciding on heavywork_requests_per_second, pods that do real work.

    system1_test.py BIN_DIR [--out FOLDER]

/lightwork alone changes nothing; 20/s keep one worker and 200/s make ten (within one of rate / 20, rounded up); fewer requests and
silence end them again, under load and without. Every result is compared with what was sent; by the ledgers of the load and of the
workers each task ran exactly once while pods came and went. Then the drills: with the adapter away the HPA keeps its size and says
so; the aggregator killed under load comes back with everything; no value is served that the load denies.

Exit status 77: it cannot run here. Needs root.
"""
import collections
import gzip
import hashlib
import http.client
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cluster as clusters  # noqa: E402
import testing  # noqa: E402
from testing import BASE, HPA_ACCOUNT, METRIC, NAMESPACE, Api, conditions, quantity  # noqa: E402

HPA = "/apis/autoscaling/v2/namespaces/wheelpit/horizontalpodautoscalers/heavywork"
BATCH_HPA = HPA.replace("heavywork", "batch")
NEEDED = METRIC.replace("heavywork_requests_per_second", "wheelpit_queue_needed_workers?labelSelector=queue%3Dbatch")
SCALE_UP_PODS = 4  # Kubernetes' default policy lets that many, or as many as there are, start in 15 s
PODS = "/api/v1/namespaces/wheelpit/pods?labelSelector=wheelpit%2Fqueue%3Dheavywork"
SYNC = 5.0
TARGET, REPLICAS_MAX = 20, 10
WINDOW = 30.0  # of the metric's rate

Point = collections.namedtuple("Point", "t value error desired ready active phase")


class Watcher(threading.Thread):
    """Asks twice a second for the metric, through the aggregation layer, and for what the HPA makes of it."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.api, self.points, self.over = Api(cluster), [], threading.Event()
        self.start_time, self.phase, self.pods_seen = time.monotonic(), "", set()

    def now(self):
        return time.monotonic() - self.start_time

    def run(self):
        shown = -5.0
        while not self.over.wait(0.5):
            point = self.ask()
            self.points.append(point)
            if point.t - shown >= 5:
                shown = point.t
                value = "%6.1f/s" % point.value if point.value is not None else "error   "
                print("%5.0f s  %-14s %s  desired %2d  ready %2d %s"
                      % (point.t, point.phase, value, point.desired, point.ready, "#" * point.ready), flush=True)

    def ask(self):
        t, phase = self.now(), self.phase
        status, answer = self.api.get(METRIC)
        value = sum(quantity(i["value"]) for i in answer["items"]) if status == 200 and answer["items"] else None
        error = "" if value is not None else "%s %s" % (status, answer if isinstance(answer, str) else answer.get("message", "no items"))
        status, hpa = self.api.get(HPA)
        hpa = hpa if status == 200 else {}
        status, pods = self.api.get(PODS)
        ready = 0
        for pod in pods["items"] if status == 200 else []:
            self.pods_seen.add(pod["metadata"]["name"])
            ready += conditions(pod).get("Ready", ("",))[0] == "True"
        return Point(t, value, error, hpa.get("status", {}).get("desiredReplicas", -1), ready, conditions(hpa).get("ScalingActive"), phase)

    def of(self, phase):
        return [p for p in self.points if p.phase == phase]

    def last(self):
        return self.points[-1] if self.points else Point(0, None, "", -1, 0, None, "")


class BatchWatch:
    """What the queue's metric asks for and what its HPA makes of it."""

    def __init__(self, cluster):
        self.api, self.needed, self.desired, self.syncs = Api(cluster), [], [], []

    def look(self):
        """Asks once; false when somebody did not answer."""
        status, answer = self.api.get(NEEDED)
        found, hpa = self.api.get(BATCH_HPA)
        if status != 200 or found != 200:
            return False
        self.needed.append(sum(quantity(i["value"]) for i in answer["items"]))
        self.desired.append(hpa["status"].get("desiredReplicas", 0))
        sync = self.sync_of(hpa["status"])
        if sync is not None and sync not in self.syncs[-1:]:
            self.syncs.append(sync)
        return True

    @staticmethod
    def sync_of(status):
        """(workers there, workers that the metric asked for, workers wanted) as the HPA wrote them down, all of one sync."""
        metrics, there = status.get("currentMetrics") or [], status.get("currentReplicas", 0)
        if not metrics or not there:
            return None
        # Per worker, rounded up to thousandths: the product may be that much too large.
        asked = quantity(metrics[0]["external"]["current"]["averageValue"]) * there - 0.001 * there
        return there, max(1, min(REPLICAS_MAX, math.ceil(asked))), status.get("desiredReplicas", 0)

    def too_few(self):
        """Syncs that wanted fewer workers than the metric asked for and one step allows."""
        return [sync for sync in self.syncs if sync[2] < min(sync[1], sync[0] + SCALE_UP_PODS)]

    def needed_most(self):
        return max(1, min(REPLICAS_MAX, math.ceil(max(self.needed))))


class Load:
    """`wheelpit load` beside the cluster, against the aggregator's pod."""

    def __init__(self, system, route, profile, name):
        self.ledger = os.path.join(system.out, name + ".ledger")
        command = [os.path.join(system.bin, "wheelpit"), "load", "--http=http://%s:7080" % system.aggregator(), "--route=" + route,
                   "--profile=" + profile, "--ledger=" + self.ledger, "--json", "--payload-dir=" + system.payloads,
                   "--seed=%d" % (len(system.loads) + 1)]
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        system.loads.append(self)

    def wait(self):
        output = self.process.communicate()[0]
        lines = output.strip().splitlines()
        return json.loads(lines[-1]) if lines else {"acknowledged": 0}

    def accepted(self):
        if not os.path.exists(self.ledger):
            return []
        with open(self.ledger) as f:
            return [e for e in map(json.loads, f) if e.get("id")]


class System1(testing.Wheelpit):
    def __init__(self, cluster, bin_dir, out, failures):
        super().__init__(cluster, bin_dir, out, failures)
        self.loads = []
        self.payloads = os.path.join(out, "payloads")
        self.make_payloads()
        self.watcher = Watcher(cluster)

    def make_payloads(self):
        os.makedirs(self.payloads)
        words, random_words = ["wheel", "pit", "queue", "count", "worker", "scale"], random.Random(7)
        for n in range(200):
            with open(os.path.join(self.payloads, "%03d" % n), "w") as f:
                f.write("%d " % n + " ".join(random_words.choice(words) for _ in range(random_words.randint(20, 400))))

    def drained(self, queue):
        page = self.fetch("/metrics")
        return all('wheelpit_queue_tasks{queue="%s",state="%s"} 0\n' % (queue, state) in page for state in ("ready", "leased", "delayed"))

    def phase(self, name):
        self.watcher.phase = name
        print("--- %s" % name, flush=True)
        return self.watcher.now()

    # --- phases -------------------------------------------------------------------------------------------------------------------

    def rise_and_fall(self):
        f, watcher = self.failures, self.watcher
        self.phase("/lightwork")
        light = Load(self, "/lightwork", "100:20s", "light").wait()
        time.sleep(2 * SYNC)
        points = watcher.of("/lightwork")
        f.check(light["acknowledged"] > 1000 and all(p.desired <= 1 and not p.value for p in points),
                "/lightwork alone changes nothing: %d requests, 1 worker, rate 0" % light["acknowledged"])

        load = Load(self, "/heavywork", "20:45s,200:60s,20:90s", "heavy")
        self.phase("20/s")
        time.sleep(45)
        self.judge("20/s", 1)
        start = self.phase("200/s")
        time.sleep(60)
        self.judge("200/s", REPLICAS_MAX)
        for what, value in (("desired", lambda p: p.desired), ("ready", lambda p: p.ready)):
            times = [p.t - start for p in watcher.of("200/s") if value(p) >= REPLICAS_MAX]
            if times:
                self.timings["200/s -> %d %s" % (REPLICAS_MAX, what)] = round(times[0], 1)
        start = self.phase("20/s again")
        summary = load.wait()
        self.judge("20/s again", 1)
        f.check(summary["acknowledged"] > 10000, "users were served: %s" % json.dumps(summary))
        self.phase("silence")
        self.until(120, "silence -> 1 worker", lambda: watcher.last().phase == "silence" and watcher.last().desired == 1
                   and watcher.last().ready == 1 and watcher.last().value == 0)

    def judge(self, phase, want):
        """The end of a phase, when the rate's window has none of the phase before."""
        last = self.watcher.of(phase)[-int(2 * SYNC / 0.5):]
        held = [p for p in last if p.value is not None and abs(p.desired - min(REPLICAS_MAX, math.ceil(p.value / TARGET))) <= 1
                and abs(p.desired - want) <= 1]
        self.failures.check(bool(last) and len(held) == len(last), "%s: %s workers at %s/s" % (
            phase, "/".join(sorted({str(p.desired) for p in last})), "/".join(sorted({"%.0f" % (p.value or -1) for p in last}))))

    def conditions_and_events(self):
        hpa = self.cluster.get(HPA)
        seen = conditions(hpa)
        self.failures.check(seen.get("ScalingActive") == ("True", "ValidMetricFound"), "condition ScalingActive: %s" % (seen.get("ScalingActive"),))
        self.failures.check(seen.get("AbleToScale", ("",))[0] == "True", "condition AbleToScale: %s" % (seen.get("AbleToScale"),))
        self.failures.check("ScalingLimited" in seen, "condition ScalingLimited: %s" % (seen.get("ScalingLimited"),))
        events = self.cluster.get("/api/v1/namespaces/%s/events?fieldSelector=involvedObject.name%%3Dheavywork" % NAMESPACE)["items"]
        rescales = [e["message"] for e in events if e["reason"] == "SuccessfulRescale"]
        up = [m for m in rescales if "heavywork_requests_per_second" in m and "above target" in m]
        down = [m for m in rescales if "below target" in m]
        self.failures.check(bool(up), "event SuccessfulRescale up: %s" % up[:1])
        self.failures.check(bool(down), "event SuccessfulRescale down: %s" % down[:1])

    def needed_workers(self):
        """The other HPA: a heap of work makes it start workers, as many as its metric says."""
        f, numbers = self.failures, [str(n) for n in range(30000)]
        self.phase("batch")
        address = "--address=%s:7070" % self.aggregator()
        done = subprocess.run([os.path.join(self.bin, "wheelpit"), "submit", "--queue=batch", address, "--allow_insecure"],
                              input="\n".join(numbers), stdout=subprocess.PIPE, text=True)
        ids = done.stdout.split()
        f.check(len(set(ids)) == len(numbers), "batch: %d tasks submitted" % len(ids))
        self.batch = BatchWatch(self.cluster)
        self.until(60, "batch -> 2 workers or more", lambda: self.batch.look() and self.batch.desired[-1] >= 2)
        self.until(180, "batch done", lambda: self.batch.look() and self.drained("batch"))
        asked, got = self.batch.needed_most(), max(self.batch.desired)
        f.check(got <= asked, "batch: the HPA never wants more workers than the metric asks for: %d, %d" % (got, asked))
        few = self.batch.too_few()
        f.check(not few and len(self.batch.syncs) >= 3, "batch: and never fewer than it asks for and one step allows: %s of %s" % (few, self.batch.syncs))
        status, reason = conditions(self.cluster.get(BATCH_HPA)).get("ScalingActive")
        f.check((status, reason) == ("True", "ValidMetricFound"), "batch: condition ScalingActive: %s %s" % (status, reason))
        connection, wrong = http.client.HTTPConnection(self.aggregator(), 7080, timeout=30), 0
        for task, number in zip(ids, numbers):
            connection.request("GET", "/v1/tasks/%s/result" % task)
            wrong += connection.getresponse().read().split()[0].decode() != hashlib.sha256(number.encode()).hexdigest()
        connection.close()
        f.check(not wrong, "batch: each result is the payload's sum: %d wrong" % wrong)

    def batch_shrinks(self):
        """Without work its HPA comes back to one worker; most of its window of two minutes went by meanwhile."""
        self.until(240, "batch over -> 1 worker", lambda: self.batch.look() and self.batch.desired[-1] == 1)
        self.failures.check(self.batch.needed[-1] <= 1, "an empty queue needs one worker at most: %s" % self.batch.needed[-1])

    def service_monitor(self):
        """The overlay for the Prometheus Operator, against the operator's own CRD."""
        f, crd = self.failures, clusters.toolchain.service_monitor_crd()
        self.cluster.kubectl("apply", "--server-side", "-f", crd)
        self.until(60, "CRD established", lambda: conditions(self.cluster.get(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/servicemonitors.monitoring.coreos.com"))["Established"][0] == "True")
        overlay = os.path.join(os.path.dirname(BASE), "overlays", "prometheus-operator")
        self.until(30, "overlay applied", lambda: self.cluster.kubectl("apply", "--validate=strict", "-k", overlay))
        monitor = self.cluster.get("/apis/monitoring.coreos.com/v1/namespaces/wheelpit/servicemonitors/wheelpit-aggregator")["spec"]
        services = self.cluster.get("/api/v1/namespaces/wheelpit/services")["items"]
        chosen = [s for s in services if monitor["selector"]["matchLabels"].items() <= s["metadata"].get("labels", {}).items()]
        ports = [p["name"] for s in chosen for p in s["spec"]["ports"]]
        f.check(len(chosen) == 1 and all(e["port"] in ports and e["honorLabels"] for e in monitor["endpoints"]),
                "the ServiceMonitor is accepted and chooses the aggregator's Service: %s" % [s["metadata"]["name"] for s in chosen])

    # --- drills -------------------------------------------------------------------------------------------------------------------

    def drill_adapter(self):
        """No adapter and no more load: the HPA keeps its size for six syncs and more, says why, and goes on by itself."""
        f = self.failures
        load = Load(self, "/heavywork", "80:10m", "drill-adapter")
        self.phase("80/s")
        self.until(75, "80/s -> 4 workers", lambda: self.watcher.last().desired >= 4 and self.watcher.last().ready >= 4)
        self.patch_stabilization(0)
        self.cluster.kubectl("-n", NAMESPACE, "scale", "deployment/wheelpit-adapter", "--replicas=0")
        self.until(30, "adapter gone", lambda: not self.pods("adapter") and self.watcher.last().value is None)
        load.process.send_signal(signal.SIGINT)  # from here on the size would be 1, if somebody knew
        load.wait()
        self.phase("no adapter")
        self.until(30, "no adapter -> ScalingActive False", lambda: self.watcher.last().active == ("False", "FailedGetExternalMetric"))
        time.sleep(WINDOW + 2 * SYNC)
        points = self.watcher.of("no adapter")
        f.check(all(p.value is None for p in points), "without an adapter no value is served")
        sizes = {p.desired for p in points if p.desired >= 0}
        syncs = (points[-1].t - points[0].t) / SYNC
        f.check(len(sizes) == 1 and min(sizes) >= 4 and syncs >= 6, "the HPA keeps its size through %d syncs of errors: %s" % (syncs, sizes))
        self.phase("adapter back")
        self.cluster.kubectl("-n", NAMESPACE, "scale", "deployment/wheelpit-adapter", "--replicas=2")
        self.until(60, "adapter back -> ValidMetricFound", lambda: self.watcher.last().active == ("True", "ValidMetricFound"))
        self.until(30, "adapter back -> 1 worker", lambda: self.watcher.last().phase == "adapter back" and self.watcher.last().desired == 1)

    def patch_stabilization(self, seconds):
        self.cluster.kubectl("-n", NAMESPACE, "patch", "hpa", "heavywork", "--type=merge", "-p",
                             json.dumps({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": seconds}}}}))

    def drill_aggregator(self):
        """The aggregator killed under load: workers and adapter find it again at another address, and what it took is done."""
        f = self.failures
        self.phase("80/s, kill")
        load = Load(self, "/heavywork", "80:10m", "drill-aggregator")
        time.sleep(15)
        before = [p for p in self.watcher.of("80/s, kill") if p.value is not None]
        old, address = self.pods("aggregator")[0]["metadata"]["uid"], self.aggregator()
        killed = self.phase("no aggregator")
        self.cluster.kubectl("-n", NAMESPACE, "delete", "pod", "wheelpit-aggregator-0", "--grace-period=0", "--force")
        load.process.send_signal(signal.SIGINT)  # it does not look the address up again
        self.until(60, "killed -> aggregator ready", lambda: self.aggregator_ready() and self.pods("aggregator")[0]["metadata"]["uid"] != old)
        load2 = Load(self, "/heavywork", "80:20s", "drill-aggregator-2")
        self.until(60, "aggregator ready -> metric served again", lambda: self.watcher.last().t > killed + 2 and self.watcher.last().value is not None)
        print("address %s -> %s" % (address, self.aggregator()), flush=True)
        load.wait()
        summary = load2.wait()
        f.check(summary["acknowledged"] > 1000, "after the kill users are served: %s" % json.dumps(summary))
        self.phase("drained")
        self.until(90, "the backlog drains", lambda: self.drained("heavywork"))
        f.check(bool(before), "the metric was served before the kill")
        # Requests of the last half minute were durable: a zero within it would be a lie.
        lies = [p for p in self.watcher.points if p.value == 0 and killed <= p.t < killed + WINDOW - SYNC]
        f.check(not lies, "no wrong zero around the kill: %s" % [(round(p.t - killed, 1), p.value) for p in lies][:3])

    def drill_apiserver(self):
        """The API server killed and started again: the HPA goes on by itself, and nobody's size changes meanwhile."""
        self.phase("no API server")
        before = self.watcher.last().desired
        self.cluster.stop("kube-apiserver", signal.SIGKILL)
        self.cluster.restart("kube-apiserver")
        self.phase("API server back")
        self.until(60, "API server back -> metric served", lambda: self.watcher.last().phase == "API server back" and self.watcher.last().value is not None)
        self.until(60, "API server back -> ValidMetricFound", lambda: self.watcher.last().active == ("True", "ValidMetricFound"))
        sizes = {p.desired for p in self.watcher.of("no API server") + self.watcher.of("API server back") if p.desired >= 0}
        self.failures.check(sizes == {before}, "the API server restarted, and the size stayed %d: %s" % (before, sizes))

    def read_as(self, user):
        """What a user gets who asks for the metric: (works, what was said)"""
        try:
            return True, self.cluster.kubectl("get", "--raw", METRIC, "--as=" + user)
        except clusters.ClusterError as e:
            return False, str(e)

    def as_hpa(self):
        return self.read_as("system:serviceaccount:kube-system:horizontal-pod-autoscaler")

    def stranger(self):
        return self.read_as("stranger")

    def drill_rbac(self):
        """Each of the adapter's rights is needed: without it one specific call fails."""
        f = self.failures
        self.phase("rights")
        f.check(self.as_hpa()[0], "the HPA controller's user reads the metric: %s" % self.as_hpa()[1][:200])
        f.check(not self.stranger()[0] and "forbidden" in self.stranger()[1].lower(), "a user without rights does not: %s" % self.stranger()[1][-200:])
        for who, headers, want in (
                ("the HPA controller's token", {"Authorization": "Bearer " + self.token(*HPA_ACCOUNT)}, 200),
                ("another service account's token", {"Authorization": "Bearer " + self.token("default", "default")}, 403),
                ("a token that is none", {"Authorization": "Bearer none"}, 401),
                ("nobody", {}, 403),
                ("nobody with a front proxy's headers", {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}, 403)):
            got = self.direct(headers)
            f.check(got == want, "straight to the adapter, %s: %s" % (who, got))
        fresh = self.token(*HPA_ACCOUNT)
        self.cluster.kubectl("delete", "clusterrolebinding", "wheelpit-adapter:system:auth-delegator")
        # Each adapter remembers for a while whom it let in.
        forbidden = "subjectaccessreviews.authorization.k8s.io is forbidden"
        self.until(60, "without auth-delegator -> SubjectAccessReview is what fails", lambda: forbidden in self.as_hpa()[1])
        f.check(self.direct({"Authorization": "Bearer " + fresh}) == 401, "TokenReview fails as well: a good token is believed no more")
        self.cluster.kubectl("apply", "-k", BASE)
        self.until(60, "auth-delegator back -> the metric is read", lambda: self.as_hpa()[0])
        self.cluster.kubectl("-n", "kube-system", "delete", "rolebinding", "wheelpit-adapter:extension-apiserver-authentication-reader")
        self.cluster.kubectl("-n", NAMESPACE, "delete", "pods", "-l", "app.kubernetes.io/component=adapter", "--wait=true")
        self.until(60, "without the reader -> adapters do not start", lambda: len(self.pods("adapter")) == 2 and all(
            p["status"].get("containerStatuses", [{}])[0].get("restartCount", 0) > 0 for p in self.pods("adapter")))
        f.check("extension-apiserver-authentication" in self.adapter_logs(), "reading the ConfigMap is what fails")
        self.cluster.kubectl("apply", "-k", BASE)
        self.until(90, "the reader back -> the metric is read", lambda: self.as_hpa()[0])

    # --- the ledgers ----------------------------------------------------------------------------------------------------------------

    def executions(self):
        """What the workers say they did: their own lines, from the pods' logs, those of ended pods too."""
        logs, lines = self.cluster.path("node", "logs"), []
        for name in sorted(os.listdir(logs)):
            if name.startswith(NAMESPACE + "_heavywork-worker-"):
                shutil.copy(os.path.join(logs, name), self.out)
                with open(os.path.join(logs, name), errors="replace") as f:
                    lines += [json.loads(line) for line in f if line.startswith('{"task"')]
        return lines

    def judge_ledgers(self, what, once):
        accepted = [e for load in self.loads for e in load.accepted() if load.name != "light"]
        ids = {e["id"] for e in accepted}
        done = collections.Counter(e["task"] for e in self.executions() if e["outcome"] == "completed" and e["accepted"])
        f = self.failures
        f.check(len(ids) == len(accepted), "%s: %d tasks, no id twice" % (what, len(accepted)))
        missing = self.unfinished(ids - set(done)) if not once else ids - set(done)
        f.check(not missing, "%s: nothing lost: %d without an execution" % (what, len(missing)))
        f.check(all(n == 1 for n in done.values()), "%s: nothing counted twice: %d" % (what, sum(n > 1 for n in done.values())))
        if once:
            f.check(set(done) == ids, "%s: workers did exactly what users sent" % what)
            # A task that was on its way to a worker that drains goes to the next one, as attempt 2: nobody has run it before.
            runs = collections.Counter(e["task"] for e in self.executions())
            again = [task for task, n in runs.items() if n > 1]
            f.check(not again, "%s: run more than once: %s" % (what, again[:3]))
        wrong = self.wrong_results(accepted)
        f.check(not wrong, "%s: each result is the file sent, compressed: %d wrong %s" % (what, len(wrong), wrong[:3]))

    def unfinished(self, ids):
        """After a kill a worker may not have heard the answer: then the server's word counts."""
        return [i for i in ids if '"TASK_STATE_SUCCEEDED"' not in self.fetch("/v1/tasks/" + i)]

    def wrong_results(self, accepted):
        connection, wrong, files = http.client.HTTPConnection(self.aggregator(), 7080, timeout=30), [], {}
        for entry in accepted:
            path = entry["payload"]
            if path not in files:
                with open(path, "rb") as f:
                    files[path] = f.read()
            connection.request("GET", "/v1/tasks/%s/result" % entry["id"])
            answer = connection.getresponse()
            body = answer.read()
            try:
                good = answer.status == 200 and gzip.decompress(body) == files[path]
            except (OSError, EOFError):
                good = False
            if not good:
                wrong.append(entry["id"])
        connection.close()
        return wrong

    def describe(self):
        """The pages that k8s/README.md shows, as this run made them."""
        for name, arguments in (("get-raw", ("get", "--raw", METRIC)), ("describe-hpa", ("-n", NAMESPACE, "describe", "hpa", "heavywork")),
                                ("get-hpa", ("-n", NAMESPACE, "get", "hpa")), ("get-pods", ("-n", NAMESPACE, "get", "pods")),
                                ("get-raw-group", ("get", "--raw", "/apis/external.metrics.k8s.io/v1beta1"))):
            with open(os.path.join(self.out, name + ".txt"), "w") as f:
                f.write(self.cluster.kubectl(*arguments, check=False))


def run(cluster, options, out, failures):
    system = System1(cluster, options.bin, out, failures)
    system.apply_base()
    system.watcher.start()
    threading.Timer(20 + 2 * SYNC + 45 + 55, system.describe).start()
    system.rise_and_fall()
    system.conditions_and_events()
    system.judge_ledgers("rise and fall", once=True)
    failures.check(len(system.watcher.pods_seen) >= REPLICAS_MAX, "%d worker pods came and went" % len(system.watcher.pods_seen))
    system.needed_workers()
    system.service_monitor()
    if not options.no_drills:
        system.drill_adapter()
        system.drill_aggregator()
        system.drill_apiserver()
        system.drill_rbac()
        system.batch_shrinks()
        system.judge_ledgers("drills", once=False)
    system.watcher.over.set()
    system.watcher.join()
    errors = [p for p in system.watcher.points if p.error and p.phase in ("/lightwork", "20/s", "200/s", "20/s again", "silence")]
    failures.check(not errors, "the metrics API answered at all times outside the drills: %s" % [(p.phase, p.error) for p in errors][:2])
    with open(os.path.join(out, "points.jsonl"), "w") as f:
        f.writelines(json.dumps(p._asdict()) + "\n" for p in system.watcher.points)
    print("seconds: %s" % json.dumps(system.timings), flush=True)
    system.keep_logs()


def main():
    parser = testing.arguments(__doc__)
    parser.add_argument("--no-drills", action="store_true", help="only the rise and the fall")
    return testing.main("system1", parser.parse_args(), run, sync="%gs" % SYNC)


if __name__ == "__main__":
    sys.exit(main())
