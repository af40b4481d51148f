#!/usr/bin/env python3
"""The metrics API on Kubernetes' own code: the whole surface through kube-apiserver and straight, who may ask, rules of a live and a
scraped source side by side, rules and certificates that change, what fails without each of the adapter's rights, and what is answered
while adapters are replaced and an aggregator or a Prometheus server is silent or gone.

    adapter_test.py BIN_DIR [--out FOLDER]

Exit status 77: it cannot run here. Needs root and Debian's prometheus.
"""
import calendar
import contextlib
import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import adapter_scene as scene  # noqa: E402
import testing  # noqa: E402
from testing import GROUP, HPA_ACCOUNT, METRIC, NAMESPACE, Api, Connection, condition, is_ready, quantity  # noqa: E402

API_SERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"
METRICS = GROUP + "/namespaces/wheelpit/"
HPA_USER = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
BASE_BINDINGS = (("clusterrolebinding", "wheelpit-adapter:system:auth-delegator", None),
                 ("rolebinding", "wheelpit-adapter:extension-apiserver-authentication-reader", "kube-system"))
RATE_WINDOW = 30  # seconds of heavywork_requests_per_second


class AdapterTest(testing.Wheelpit):
    def __init__(self, cluster, bin_dir, out, failures):
        super().__init__(cluster, bin_dir, out, failures)
        self.api, self.adapters, self.posted, self.posted_at, self.users = Api(cluster), [], 0, 0.0, 0
        self.certificates = scene.Certificates(cluster, os.path.join(out, "pki"))
        self.prometheus = scene.Prometheus(cluster.host, os.path.join(out, "prometheus"))
        self.overlay = scene.write_overlay(os.path.join(out, "overlay"), self.certificates, self.prometheus.address)

    def start(self, name):
        print("--- %s" % name, flush=True)

    def check(self, holds, text):
        self.failures.check(holds, text)

    def get(self, path):
        status, thing = self.api.get(path)
        if status != 200:
            raise testing.clusters.ClusterError("%s: %s %s" % (path, status, thing))
        return thing

    def token(self, namespace, account):
        answer = self.api.ask("/api/v1/namespaces/%s/serviceaccounts/%s/token" % (namespace, account), {"Content-Type": "application/json"}, "POST",
                              json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}))
        return answer.json["status"]["token"]

    # --- asking -------------------------------------------------------------------------------------------------------------------

    def straight(self, path, headers=None, pod=None, client=None, method="GET"):
        """An adapter's own answer, past the API server, perhaps with a client certificate."""
        context = testing.unverified()
        if client:
            context.load_cert_chain(*self.certificates.pair(client))
        connection = Connection((pod or self.adapters[0])["status"]["podIP"], 6443, context)
        try:
            return connection.ask(path, headers, method)
        finally:
            connection.close()

    def as_user(self, user, path=METRIC, pod=None, **headers):
        """As the API server asks for its users."""
        return self.straight(path, dict({"X-Remote-User": user}, **headers), pod, client="front-proxy-client")

    def new_user(self):
        """Nobody remembers anything about this one."""
        self.users += 1
        return "somebody-%d" % self.users

    def bearer(self):
        """The HorizontalPodAutoscaler controller, with a token that nobody has seen."""
        return {"Authorization": "Bearer " + self.token(*HPA_ACCOUNT)}

    def value(self, metric, api=None):
        """The sum of an external metric's values, as the HPA makes it; None if there is no answer with values."""
        status, answer = (api or self.api).get(METRICS + metric)
        return sum(quantity(i["value"]) for i in answer["items"]) if status == 200 and answer["items"] else None

    def post(self, n, address=None):
        """Requests of users, to the aggregator if no other server is named."""
        connection = http.client.HTTPConnection(address or self.aggregator(), 7080, timeout=30)
        for i in range(n):
            connection.request("POST", "/heavywork", body=b"work %d" % i)
            answer = connection.getresponse()
            answer.read()
            assert answer.status in (200, 202), answer.status
        connection.close()
        if address is None:
            self.posted, self.posted_at = self.posted + n, time.time()

    def ask_prometheus(self, query):
        connection = http.client.HTTPConnection(self.prometheus.host, self.prometheus.port, timeout=15)
        connection.request("GET", "/api/v1/query?query=" + urllib.parse.quote(query))
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return [(sample["metric"], float(sample["value"][1])) for sample in answer["data"]["result"]]

    def pod(self, name):
        return self.get("/api/v1/namespaces/%s/pods/%s" % (NAMESPACE, name))

    def log_of(self, pod, container="adapter"):
        path = self.cluster.path("node", "logs", "%s_%s_%s.log" % (NAMESPACE, pod["metadata"]["name"], container))
        with open(path, errors="replace") as f:
            return f.read()

    # --- rules and sources ----------------------------------------------------------------------------------------------------------

    def sources(self):
        """Rules of two sources in one file: each stands alone."""
        self.start("sources")
        self.post(300)
        self.until(30, "what was posted is counted", lambda: self.value("Live_Work_Total") == self.posted)
        early = self.api.ask(METRICS + "scraped_work_total")
        self.check(early.status == 404 and "could not find the metric scraped_work_total" in early.message, "Prometheus does not have it yet: %s" % early)
        self.check(self.value("auto_work_total") == self.posted, "auto: the aggregator has it")
        self.prometheus.ask([self.aggregator() + ":7080"])
        self.until(60, "scraped -> its rule answers", lambda: self.value("scraped_work_total") == self.posted)
        self.post(40)
        self.until(60, "live and scraped agree", lambda: self.value("Live_Work_Total") == self.value("scraped_work_total") == self.posted)
        self.compare("scraped_work_total", 'sum(heavywork_requests_total{namespace="wheelpit"})')
        self.compare("aggregator_up", 'sum(up{job="wheelpit"})')
        wrong = self.api.ask(METRICS + "wrong_query")
        self.check(wrong.status == 500 and "externalRules[6]" in wrong.message and "topk" in wrong.message, "a rule that cannot work says why: %s" % wrong)
        both = {"Live_Work_Total", "scraped_work_total", "aggregator_up", "heavywork_requests_per_second"}
        self.until(60, "each adapter's discovery names both sources' metrics", lambda: all(
            both <= {r["name"] for r in self.straight(GROUP, client="admin", pod=pod).json["resources"]} for pod in self.adapters))
        self.unchanged_file()

    def compare(self, metric, query):
        """Ours, and what Prometheus itself says."""
        want = sum(value for _, value in self.ask_prometheus(query))
        self.check(self.value(metric) == want, "%s is what Prometheus answers to %s: %g" % (metric, query, want))

    def unchanged_file(self):
        """A pod with the flags and the file of prometheus-adapter."""
        self.until(60, "the unchanged adapter is ready", lambda: is_ready(self.pod("unchanged")))
        pod, bearer = self.pod("unchanged"), self.bearer()
        want = self.ask_prometheus('sum by (pod) (heavywork_requests_total{namespace="wheelpit"})')
        seen = self.straight(METRICS + "heavywork_requests_seen", bearer, pod)
        got = [(i["metricLabels"], quantity(i["value"])) for i in seen.json["items"]] if seen.status == 200 else []
        self.check(got == want and got, "an unchanged file: %s, Prometheus %s" % (seen, want))
        filtered = self.straight(METRICS + "lightwork_requests_seen", bearer, pod)
        self.check(filtered.status == 404, "its filters hold: %s" % filtered)
        up = self.straight(METRICS + "up", bearer, pod)
        self.check(up.status == 200 and up.json["items"][0]["value"] == "1", "its rule without namespace: %s" % up)
        names = [r["name"] for r in self.straight(GROUP, bearer, pod).json["resources"]]
        self.check("heavywork_requests_seen" in names and "wheelpit_queue_tasks" not in names, "no rules but the file's: %s" % names)
        self.check("adapter_rules_not_served" in self.log_of(pod, "main"), "it says which rules are not served")

    def other_rules(self):
        """The file changes while it is served."""
        self.start("other rules")

        def reloaded(good):
            line = "\nwheelpit_adapter_config_last_reload_successful %d\n" % good
            return all(line in self.straight("/metrics", client="admin", pod=pod).text for pod in self.adapters)
        more = scene.RULES + scene.LATE_RULE
        self.cluster.apply(json.dumps(scene.config_map("adapter-rules", more)))
        self.until(120, "a new rule in the ConfigMap -> served by both", lambda: all(
            self.straight(METRICS + "late_work", self.bearer(), pod).status == 200 for pod in self.adapters))
        self.check(self.value("late_work") == 2 * self.posted and reloaded(True), "and right")
        self.cluster.apply(json.dumps(scene.config_map("adapter-rules", more + "  metricQuery: misspelled\n")))
        self.until(120, "a wrong file -> the adapters' metrics say so", lambda: reloaded(False))
        self.check(all("metricQuery" in self.log_of(pod) for pod in self.adapters), "the log says what is wrong")
        self.check(self.value("late_work") == 2 * self.posted and self.value("Live_Work_Total") == self.posted, "the rules stay as they were")
        self.cluster.apply(json.dumps(scene.config_map("adapter-rules", scene.RULES)))
        self.until(120, "a good file again -> the new rule is gone", lambda: reloaded(True) and all(
            self.straight(METRICS + "late_work", self.bearer(), pod).status == 404 for pod in self.adapters))

    def source_down(self):
        """Prometheus stops and goes: its rules answer with the cause, the others as before."""
        self.start("Prometheus down")
        self.prometheus.process.send_signal(signal.SIGSTOP)
        silent = self.straight(METRICS + "scraped_work_total?timeout=500ms", client="admin")
        self.check(silent.status == 504 and silent.json["reason"] == "Timeout", "Prometheus is silent, and who asks has no time: %s" % silent)
        self.check(self.value("Live_Work_Total") == self.posted, "the live rule does not wait for it")
        self.prometheus.process.send_signal(signal.SIGCONT)
        self.prometheus.stop()
        for metric in ("scraped_work_total", "aggregator_up"):
            down = self.api.ask(METRICS + metric)
            self.check(down.status == 500 and "unable to fetch metric %s (rule externalRules[" % metric in down.message
                       and "prometheus: connecting to " + self.prometheus.address in down.message, "%s: %s" % (metric, down))
            self.check(down.json["reason"] == "InternalError" and down.json["details"]["causes"], "%s: a Status with causes" % metric)
        self.check(self.value("Live_Work_Total") == self.posted, "the live rule stands")
        self.check(condition(self.get(API_SERVICE), "Available")[0] == "True", "the APIService stands")

    def aggregator_gone(self):
        """The aggregator stopped, then killed: its rules answer with an error and never with a wrong number; it comes back by itself."""
        self.start("aggregator killed")
        self.prometheus.start()
        self.until(60, "Prometheus is back", lambda: self.value("aggregator_up") == 1)
        before = self.pods("aggregator")[0]
        self.post(200)
        poller = Poller(self)
        self.until(30, "a rate is served", lambda: (self.value("heavywork_requests_per_second") or 0) > 0)
        poller.start()
        process = self.process_of(before)
        os.kill(process, signal.SIGSTOP)
        silent = self.api.ask(METRICS + "live_work_total")
        self.check(silent.status == 500 and "unable to fetch metric live_work_total" in silent.message and "aggregator" in silent.message,
                   "the aggregator is silent: %s" % silent)
        self.until(30, "the scraped rule stands", lambda: self.value("aggregator_up") is not None)
        os.kill(process, signal.SIGKILL)
        self.until(60, "killed -> it runs again", lambda: self.restarts("aggregator") == [1] and self.aggregator_ready())
        self.until(60, "killed -> the adapters find it again", lambda: self.value("live_work_total") == self.posted)
        self.until(60, "its scraped rule too", lambda: self.value("scraped_work_total") == self.posted)
        poller.over.set()
        poller.join()
        after = self.pods("aggregator")[0]
        self.check(after["metadata"]["uid"] == before["metadata"]["uid"] and after["status"]["podIP"] == before["status"]["podIP"],
                   "the same pod at the same address, %s" % after["status"]["podIP"])
        self.check(poller.answers > 0 and poller.errors > 0 and not poller.lies, "no wrong number in %d answers and %d errors: %s" % (
            poller.answers, poller.errors, poller.lies[:3]))

    def process_of(self, pod):
        """The process of the aggregator's container: the one program in the pod's network."""
        for entry in os.listdir("/run/netns"):
            if not entry.startswith(self.cluster.data["bridge"] + "-"):
                continue
            for pid in subprocess.run(["ip", "netns", "pids", entry], stdout=subprocess.PIPE, text=True).stdout.split():
                with contextlib.suppress(OSError), open("/proc/%s/environ" % pid, "rb") as f:
                    if b"POD_NAME=" + pod["metadata"]["name"].encode() in f.read().split(b"\0"):
                        return int(pid)
        raise testing.clusters.ClusterError("no process of " + pod["metadata"]["name"])

    def restarts(self, component):
        return [p["status"]["containerStatuses"][0]["restartCount"] for p in self.pods(component)]

    # --- replicas -------------------------------------------------------------------------------------------------------------------

    def replicas(self):
        """Two adapters, asked straight, say the same."""
        self.start("replicas")
        bearer, first, second = self.bearer(), *self.adapters
        paths = ["/apis", "/apis/external.metrics.k8s.io", GROUP, "/apis/custom.metrics.k8s.io/v1beta2", "/version", METRICS + "nothing_total"]
        paths += [METRICS + m for m in ("Live_Work_Total", "scraped_work_total", "auto_work_total", "third_of_work", "wrong_query",
                                        "wheelpit_queue_tasks", "wheelpit_queue_tasks?labelSelector=queue%3Dheavywork",
                                        "wheelpit_queue_tasks?labelSelector=queue%20notin%20(heavywork)", "wheelpit_queue_needed_workers")]
        self.until(60, "the queues are idle", lambda: self.value("wheelpit_queue_tasks") == 0)
        for path in paths:
            one, other = (re.sub(r'"timestamp":"[^"]*"', "", str(a.status) + a.text) for a in (
                self.straight(path, bearer, pod) for pod in (first, second)))
            self.check(one == other, "the same: %s" % path)
        # No request comes, so the rate only falls: the second adapter's answer lies between two of the first.
        a, b, c = (quantity(self.straight(METRIC, bearer, pod).json["items"][0]["value"]) for pod in (first, second, first))
        self.check(a >= b >= c, "a rate between two answers of the other: %g >= %g >= %g" % (a, b, c))
        aggregated = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
        one, other = (self.straight("/apis", dict(bearer, **aggregated), pod) for pod in (first, second))
        self.check(one.text == other.text and one.headers["ETag"] == other.headers["ETag"] and one.json["kind"] == "APIGroupDiscoveryList",
                   "the same aggregated discovery, %s" % one.headers["ETag"])

    # --- the surface ----------------------------------------------------------------------------------------------------------------

    def surface(self):
        """Through kube-apiserver, as kubectl and the HPA controller ask."""
        self.start("surface")
        raw = json.loads(self.cluster.kubectl("get", "--raw", METRICS + "wheelpit_queue_tasks?labelSelector=queue%3Dheavywork"))
        self.check([i["metricLabels"] for i in raw["items"]] == [{"queue": "heavywork"}], "kubectl get --raw with a selector: %s" % raw["items"])
        for selector, want in (("", ["batch", "heavywork"]), ("queue in (batch,heavywork)", ["batch", "heavywork"]), ("queue=none", []),
                               ("queue notin (batch)", ["heavywork"]), ("queue!=heavywork", ["batch"]), ("!queue", []), ("queue", ["batch", "heavywork"])):
            answer = self.api.ask(METRICS + "wheelpit_queue_tasks?labelSelector=" + urllib.parse.quote(selector))
            got = sorted(i["metricLabels"]["queue"] for i in answer.json.get("items", []))
            self.check(answer.status == 200 and got == want, "selector %r: %s" % (selector, got))
        third, thousand = self.posted * 1000 // 3, self.posted
        third = "%dm" % third if third % 1000 else "%d" % (third // 1000)
        for metric, want in (("third_of_work", third), ("thousand_works", "%dk" % thousand), ("live_work_total", str(self.posted)),
                             ("LIVE_WORK_TOTAL", str(self.posted))):
            answer = self.api.ask(METRICS + metric)
            got = [(i["metricName"], i["value"]) for i in answer.json.get("items", [])]
            self.check([v for _, v in got] == [want] and got[0][0].lower() == metric.lower(), "quantity of %s: %s" % (metric, got))
        endless = self.api.ask(METRICS + "endless_work")
        self.check(endless.status == 200 and endless.json["items"] == [], "no sentinel for what is no number: %s" % endless.json.get("items"))
        shape = self.api.ask(METRICS + "live_work_total").json
        self.check(list(shape) == ["kind", "apiVersion", "metadata", "items"] and shape["kind"] == "ExternalMetricValueList"
                   and list(shape["items"][0]) == ["metricName", "metricLabels", "timestamp", "value"]
                   and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", shape["items"][0]["timestamp"]), "an ExternalMetricValueList as it should be")
        self.errors()
        self.negotiation()
        self.discovery()

    def errors(self):
        for path, method, code, reason, message in (
                (METRICS + "nothing_total", "GET", 404, "NotFound", "the server could not find the metric nothing_total for "),
                (METRICS + "live_work_total?labelSelector=a%3Db%20c", "GET", 400, "BadRequest", "found 'c', expected"),
                (METRICS + "live_work_total?fieldSelector=spec.x%3D1", "GET", 400, "BadRequest", "spec.x"),
                (METRICS + "live_work_total?timeout=soon", "GET", 400, "BadRequest", "invalid timeout specified in the request URL"),
                (METRICS + "live_work_total?watch=true", "GET", 405, "MethodNotAllowed", "watch is not supported on resources of kind"),
                (METRICS + "live_work_total", "POST", 405, "MethodNotAllowed", "the server does not allow this method on the requested resource"),
                (GROUP + "/nothing/here", "GET", 404, "NotFound", "the server could not find the requested resource"),
                (METRICS + "wrong_query", "GET", 500, "InternalError", "topk")):
            answer = self.api.ask(path, method=method)
            status = answer.json
            self.check((answer.status, status["kind"], status["status"], status["reason"], status["code"]) == (code, "Status", "Failure", reason, code)
                       and message in status["message"], "%s %s: %s" % (method, path[len(GROUP):], answer))
            self.check("Retry-After" not in answer.headers, "%d without Retry-After" % code)
        said = self.kubectl_says("get", "--raw", METRICS + "wrong_query")
        self.check("topk" in said, "kubectl shows the cause: %s" % said[-200:])

    def kubectl_says(self, *arguments):
        try:
            return self.cluster.kubectl(*arguments)
        except testing.clusters.ClusterError as e:
            return str(e)

    def negotiation(self):
        for accept in ("application/vnd.kubernetes.protobuf, */*", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "APPLICATION/JSON",
                       "application/vnd.kubernetes.protobuf,application/json"):
            answer = self.api.ask(METRICS + "live_work_total", {"Accept": accept})
            self.check(answer.status == 200 and answer.headers["Content-Type"] == "application/json" and answer.json["kind"] == "ExternalMetricValueList",
                       "Accept: %s" % accept)
        for accept in ("text/html", "application/vnd.kubernetes.protobuf"):
            answer = self.api.ask(METRICS + "live_work_total", {"Accept": accept})
            self.check(answer.status == 406 and answer.json["reason"] == "NotAcceptable" and "application/json" in answer.message, "Accept: %s: %s" % (accept, answer))
        audit = "1f0e7a6c-aaaa-4bbb-8ccc-0123456789ab"
        answer = self.api.ask(METRICS + "live_work_total", {"Audit-ID": audit})
        self.check(set(answer.headers.get_all("Audit-Id")) == {audit}, "the audit id comes back: %s" % answer.headers.get_all("Audit-Id"))
        bearer = self.bearer()
        answer = self.straight(METRICS + "live_work_total", dict(bearer, **{"Audit-ID": audit}))
        self.check(answer.headers.get_all("Audit-Id") == [audit] and answer.headers["Cache-Control"] == "no-cache, private", "straight: audit id and cache")
        for path, headers in (("?pretty=true", {}), ("", {"User-Agent": "curl/7.88"})):
            answer = self.straight(METRICS + "live_work_total" + path, dict(bearer, **headers))
            self.check(answer.text.startswith('{\n  "kind": "ExternalMetricValueList",\n'), "straight: indented for people: %r" % answer.text[:20])
        nowhere = self.straight("/nowhere", client="admin")
        self.check(nowhere.status == 404 and GROUP in nowhere.json["paths"] and nowhere.json == self.straight("/", client="admin").json,
                   "an unknown path says which there are: %d" % len(nowhere.json["paths"]))
        made = {self.straight(METRICS + "live_work_total", bearer).headers["Audit-Id"] for _ in range(2)}
        self.check(len(made) == 2, "straight: an audit id is made: %s" % made)

    def discovery(self):
        """Groups that are not served yet are there and empty, so an APIService for them would be available."""
        bearer = self.bearer()
        for group in ("custom.metrics.k8s.io/v1beta1", "custom.metrics.k8s.io/v1beta2", "metrics.k8s.io/v1beta1"):
            answer = self.straight("/apis/" + group, bearer)
            self.check(answer.status == 200 and answer.json == {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": []},
                       "%s: an empty list" % group)
        self.empty_groups()
        groups = {g["name"]: [v["version"] for v in g["versions"]] for g in self.straight("/apis", bearer).json["groups"]}
        self.check(groups == {"custom.metrics.k8s.io": ["v1beta1", "v1beta2"], "external.metrics.k8s.io": ["v1beta1"], "metrics.k8s.io": ["v1beta1"]},
                   "/apis: %s" % groups)
        mixed = self.api.ask("/apis", {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}).json
        ours = [i for i in mixed["items"] if i["metadata"]["name"] == "external.metrics.k8s.io"]
        self.check([v["freshness"] for i in ours for v in i["versions"]] == ["Current"], "the cluster's discovery has the group, current")
        listed = self.api.ask(GROUP).json["resources"]
        self.check(all(r == {"name": r["name"], "singularName": "", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]} for r in listed),
                   "%d metrics in discovery" % len(listed))
        said = self.kubectl_says("api-resources", "--api-group=external.metrics.k8s.io")
        self.check("error" not in said.lower(), "kubectl api-resources has no complaint: %s" % said.strip()[-200:])

    def empty_groups(self):
        """With an APIService each: available, empty, and in nobody's way."""
        groups = ("custom.metrics.k8s.io", "metrics.k8s.io")
        with open(self.cluster.path("kube-apiserver.log"), errors="replace") as log:
            log.seek(0, os.SEEK_END)
            before, reads = self.other_answers(), 1
            self.cluster.apply("---\n".join(json.dumps(scene.api_service(group, self.certificates.bundle("1"))) + "\n" for group in groups))
            path = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1."
            self.until(60, "APIServices of the empty groups: available", lambda: all(
                condition(self.get(path + group), "Available")[0] == "True" for group in groups))
            for group in groups:
                answer = self.api.ask("/apis/%s/v1beta1" % group)
                self.check(answer.status == 200 and answer.json["resources"] == [], "%s: empty, through the API server" % group)
            answer = self.api.ask("/apis/custom.metrics.k8s.io/v1beta1/namespaces/wheelpit/pods/%2A/requests")
            self.check(answer.status == 404 and answer.message == "the server could not find the metric requests for pods", "a custom metric: %s" % answer)
            self.cluster.kubectl("create", "namespace", "short-lived")
            self.cluster.kubectl("delete", "namespace", "short-lived", "--wait=false")
            self.until(60, "a namespace is deleted, which asks every group", lambda: self.api.get("/api/v1/namespaces/short-lived")[0] == 404)

            def asked():
                nonlocal reads
                # What reading the counters adds to them is not the API server's.
                others, reads = self.other_answers() - before - reads * len(self.adapters), reads + 1
                return others >= 2 * len(groups)
            self.until(90, "kube-apiserver has asked for OpenAPI v2 and v3 of each", asked)
            complaints = [line for line in log if re.match("[EW]", line) and "openapi" in line.lower() and any(g in line for g in groups)]
        self.check(not complaints, "and has no complaint: %s" % complaints[:2])
        for path, key in (("/openapi/v2", "swagger"), ("/openapi/v3", "paths")):
            answer = self.straight(path, client="admin")
            self.check(answer.status == 200 and key in answer.json and answer.json["paths"] == {}, "%s: %s" % (path, answer.text.strip()))
        self.cluster.kubectl("delete", "apiservice", *("v1beta1." + group for group in groups))

    def other_answers(self):
        """Answers of the adapters' to what is no API."""
        pages = (self.straight("/metrics", client="admin", pod=pod).text for pod in self.adapters)
        return sum(float(n) for page in pages for n in re.findall(r'^wheelpit_adapter_requests_total{api="other",code="200"} (\S+)$', page, re.M))

    # --- who asks -------------------------------------------------------------------------------------------------------------------

    def authentication(self):
        self.start("authentication")
        bearer = self.bearer()
        forbidden = ('heavywork_requests_per_second.external.metrics.k8s.io is forbidden: User "%s" cannot list resource "heavywork_requests_per_second"'
                     ' in API group "external.metrics.k8s.io" in the namespace "wheelpit"')
        masters = {"X-Remote-User": "anna", "X-Remote-Group": "system:masters"}
        encoded = {"X-Remote-User": "anna", "X-Remote-Group": "system%3Amasters"}
        for what, client, headers, code, message in (
                ("the front proxy, for the HPA controller", "front-proxy-client", {"X-Remote-User": HPA_USER}, 200, ""),
                ("the front proxy, for anna", "front-proxy-client", {"X-Remote-User": "anna"}, 403, forbidden % "anna"),
                ("the front proxy, for a master", "front-proxy-client", masters, 200, ""),
                ("header values are taken as they stand", "front-proxy-client", encoded, 403, forbidden % "anna"),
                ("the front proxy, for nobody", "front-proxy-client", {}, 401, "Unauthorized"),
                ("the front proxy's CA, another name", "no-proxy", masters, 401, "Unauthorized"),
                ("a certificate of nobody's CA", "stranger", {}, 401, "Unauthorized"),
                ("a certificate of nobody's CA, with a good token", "stranger", bearer, 200, ""),
                ("the administrator's certificate", "admin", {}, 200, ""),
                ("anna's certificate", "anna", {}, 403, forbidden % "anna"),
                ("anna's certificate and a front proxy's headers", "anna", {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}, 403, forbidden % "anna"),
                ("the administrator for anna", "admin", {"Impersonate-User": "anna"}, 403, forbidden % "anna"),
                ("anna for the administrator", "anna", {"Impersonate-User": "admin"}, 403, 'User "anna" cannot impersonate resource "users"'),
                ("a good token", None, bearer, 200, ""),
                ("a good token in small letters", None, {"authorization": bearer["Authorization"].replace("Bearer", "bearer")}, 200, ""),
                ("a token that is none", None, {"Authorization": "Bearer none"}, 401, "Unauthorized"),
                ("nobody", None, {}, 403, forbidden % "system:anonymous"),
                ("nobody with a front proxy's headers", None, masters, 403, forbidden % "system:anonymous")):
            answer = self.straight(METRIC, headers, client=client)
            self.check(answer.status == code and message in answer.message, "%s: %s" % (what, answer if code != 200 else answer.status))
        for path in ("/healthz", "/livez", "/readyz", "/readyz?verbose"):
            answer = self.straight(path)
            self.check(answer.status == 200 and answer.text.startswith(("ok", "[+]ping ok")), "%s is open to all: %s" % (path, answer.text.split("\n")[0]))
        self.check(self.straight("/version").status == 200, "/version too: the cluster's own role system:public-info-viewer says so")
        for path in ("/metrics", "/apis", "/healthz/ping"):
            answer = self.straight(path)
            self.check(answer.status == 403 and 'User "system:anonymous" cannot get path "%s"' % path in answer.message, "%s is not: %s" % (path, answer))
        page = self.straight("/metrics", client="admin")
        self.check(page.status == 200 and "wheelpit_adapter_requests_total{" in page.text, "the administrator reads the adapter's own metrics")
        self.remembered()
        self.watched_settings()

    def remembered(self):
        """Many questions of one user cost few reviews."""
        context = testing.unverified()
        context.load_cert_chain(*self.certificates.pair("front-proxy-client"))
        connection = Connection(self.adapters[0]["status"]["podIP"], 6443, context)
        before, questions = self.reviews(), 200
        answers = {connection.ask(METRIC, {"X-Remote-User": HPA_USER}).status for _ in range(questions)}
        grown = self.reviews() - before
        connection.close()
        self.check(answers == {200} and grown <= questions / 4, "%d questions, %d SubjectAccessReviews" % (questions, grown))
        user, before = self.new_user(), self.reviews()
        self.check(self.as_user(user).status == 403 and self.reviews() > before, "somebody new is a new review")

    def reviews(self):
        page = self.api.ask("/metrics").text
        return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith("apiserver_request_total{")
                   and 'resource="subjectaccessreviews"' in line)

    def watched_settings(self):
        """A name and a CA that are added to the cluster's ConfigMap are believed without a restart."""
        masters = {"X-Remote-User": "root", "X-Remote-Group": "system:masters"}
        names, authorities = "requestheader-allowed-names", "requestheader-client-ca-file"
        path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"

        def believed(client, pod):
            return self.straight(METRIC, masters, pod, client=client).status == 200
        self.check(not any(believed(client, pod) for client in ("second-proxy", "strange-proxy") for pod in self.adapters),
                   "another front proxy is not believed yet")
        with open(self.certificates.pki.path("strange-ca.crt")) as f:
            strange = f.read()
        for what, client, key, value in (("name", "second-proxy", names, json.dumps(["front-proxy-client", "second-proxy"])),
                                         ("CA", "strange-proxy", authorities, self.get(path)["data"][authorities] + strange)):
            self.cluster.kubectl("-n", "kube-system", "patch", "configmap", "extension-apiserver-authentication", "--type=merge", "-p",
                                 json.dumps({"data": {key: value}}))
            self.until(60, "its %s in the ConfigMap -> believed by both" % what, lambda client=client: all(believed(client, pod) for pod in self.adapters))
            self.check(self.straight(METRIC, masters, client="no-proxy").status == 401, "others still are not")

    # --- the certificate ------------------------------------------------------------------------------------------------------------

    def served_by(self, n, pod):
        """Whether an adapter shows the certificate of serving authority n, with the Service's name."""
        context = ssl.create_default_context(cafile=self.certificates.pki.path("serving-ca-%s.crt" % n))
        connection = Connection(pod["status"]["podIP"], 6443, context, scene.SERVICE_NAME)
        try:
            return connection.ask("/healthz").text == "ok"
        except ssl.SSLCertVerificationError:
            return False
        finally:
            connection.close()

    def patch_bundle(self, authority):
        self.cluster.kubectl("patch", "apiservice", "v1beta1.external.metrics.k8s.io", "--type=merge", "-p",
                             json.dumps({"spec": {"caBundle": self.certificates.pki.data(authority + ".crt")}}))

    def certificate(self):
        """From a Secret, replaced by one of another authority while it serves."""
        self.start("certificate")
        spec = self.get(API_SERVICE)["spec"]
        self.check(not spec.get("insecureSkipTLSVerify") and spec["caBundle"] == self.certificates.bundle("1"), "the APIService verifies")
        self.check(all(self.served_by("1", pod) and not self.served_by("2", pod) for pod in self.adapters), "served: the certificate of the Secret")
        self.cluster.apply(json.dumps(self.certificates.secret("2")))
        self.until(120, "another Secret -> its certificate is served", lambda: all(self.served_by("2", pod) for pod in self.adapters))
        self.check(not any(self.served_by("1", pod) for pod in self.adapters), "and the old one no more")
        self.patch_bundle("strange-ca")
        self.until(60, "a wrong caBundle -> not available", lambda: condition(self.get(API_SERVICE), "Available")[0] == "False")
        why = [c["message"] for c in self.get(API_SERVICE)["status"]["conditions"] if c["type"] == "Available"][0]
        self.check("certificate" in why, "because of the certificate: %s" % why[-160:])
        self.patch_bundle("serving-ca-2")
        self.until(60, "the right caBundle -> available", lambda: condition(self.get(API_SERVICE), "Available")[0] == "True"
                   and self.value("Live_Work_Total") == self.posted)
        self.check(self.restarts("adapter") == [0, 0] and {p["metadata"]["uid"] for p in self.pods("adapter")} == {
            p["metadata"]["uid"] for p in self.adapters}, "the same adapters, not restarted")
        self.versions()

    def versions(self):
        for version, good in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)):
            context = testing.unverified()
            context.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # that is what is tried
                context.minimum_version = context.maximum_version = version
            connection = Connection(self.adapters[0]["status"]["podIP"], 6443, context)
            try:
                said = connection.ask("/healthz").text
            except ssl.SSLError as e:
                said = e.reason
            self.check(said == ("ok" if good else "TLSV1_ALERT_PROTOCOL_VERSION"), "%s: %s" % (version.name, said))
            connection.close()

    # --- rights ---------------------------------------------------------------------------------------------------------------------

    def rights(self):
        """Each rule of the roles that k8s/base binds, alone in a role of its own, taken away in turn."""
        self.start("rights")
        delegator = self.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/system:auth-delegator")["rules"]
        reader = self.get("/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles/extension-apiserver-authentication-reader")["rules"]
        self.check(sorted(r for rule in delegator for r in rule["resources"]) == ["subjectaccessreviews", "tokenreviews"]
                   and all(rule["verbs"] == ["create"] for rule in delegator), "system:auth-delegator: two rules")
        self.check([(rule["resources"], rule["resourceNames"], sorted(rule["verbs"])) for rule in reader] == [
            (["configmaps"], ["extension-apiserver-authentication"], ["get", "list", "watch"])], "the reader: one rule about one ConfigMap")
        self.own_roles(delegator)
        self.until(60, "the rules alone, without get: all works", self.all_works)
        self.without("tokenreviews", self.no_token_reviews)
        self.without("subjectaccessreviews", self.no_access_reviews)
        self.without_config_map()
        self.cluster.kubectl("apply", "-f", os.path.join(testing.BASE, "adapter-rbac.yaml"))
        self.cluster.kubectl("delete", "clusterrolebinding", "only-tokenreviews", "only-subjectaccessreviews")
        self.cluster.kubectl("-n", "kube-system", "delete", "rolebinding", "only-reader")
        self.until(60, "base's rights are back: all works", lambda: self.all_works() and self.value("Live_Work_Total") == self.posted)

    def own_roles(self, rules):
        things = [scene.binding("only-reader", "wheelpit-adapter", "only-reader", "kube-system", "Role")]
        for rule in rules:
            name = "only-" + rule["resources"][0]
            things += [{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": [rule]},
                       scene.binding(name, "wheelpit-adapter", name)]
        self.reader(["list", "watch"])
        self.cluster.apply("---\n".join(json.dumps(thing) + "\n" for thing in things))
        for kind, name, namespace in BASE_BINDINGS:
            self.cluster.kubectl(*(["-n", namespace] if namespace else []), "delete", kind, name)

    def reader(self, verbs):
        self.cluster.apply(json.dumps({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "only-reader", "namespace": "kube-system"},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["extension-apiserver-authentication"], "verbs": verbs}]}))

    def all_works(self):
        """For people and tokens that no adapter remembers."""
        return all(self.straight(METRIC, self.bearer(), pod).status == 200 and self.as_user(self.new_user(), pod=pod).status == 403
                   for pod in self.adapters)

    def without(self, resource, judge):
        self.cluster.kubectl("delete", "clusterrolebinding", "only-" + resource)
        judge('%s is forbidden: User "%s" cannot create resource "%s"' % (
            {"tokenreviews": "tokenreviews.authentication.k8s.io", "subjectaccessreviews": "subjectaccessreviews.authorization.k8s.io"}[resource],
            scene.ACCOUNT, resource))
        self.cluster.apply(json.dumps(scene.binding("only-" + resource, "wheelpit-adapter", "only-" + resource)))
        self.until(60, "%s back: all works" % resource, self.all_works)

    def no_token_reviews(self, message):
        token = self.bearer()
        self.until(60, "without tokenreviews: tokens are not believed", lambda: all(
            self.straight(METRIC, token, pod).status == 401 for pod in self.adapters))
        self.check(all(message in self.log_of(pod).replace('\\"', '"') for pod in self.adapters), "what fails: %s" % message)
        self.check(self.as_user(HPA_USER).status == 200 and self.as_user(self.new_user()).status == 403,
                   "the API server's users are asked about as before")

    def no_access_reviews(self, message):
        self.until(60, "without subjectaccessreviews: nobody is let in, nor remembered", lambda: all(
            self.as_user(HPA_USER, pod=pod).status == 500 for pod in self.adapters))
        said = self.straight(METRIC, self.bearer())
        self.check(said.status == 500 and message in said.message, "what fails, for a token that was believed: %s" % said)
        said = self.kubectl_says("get", "--raw", METRIC, "--as=" + HPA_USER)
        self.check(message in said, "and kubectl says so: %s" % said[-300:])
        self.check(self.value("Live_Work_Total") == self.posted and condition(self.get(API_SERVICE), "Available")[0] == "True",
                   "masters need no review: the APIService stays available")

    def without_config_map(self):
        """Who runs keeps the settings; who starts needs them. One adapter is ended, the other goes on."""
        self.reader(["watch"])
        stays, goes = self.adapters
        known = {p["metadata"]["name"] for p in self.adapters}
        self.cluster.kubectl("-n", NAMESPACE, "delete", "pod", goes["metadata"]["name"], "--grace-period=0", "--force")

        def new():
            return [p for p in self.pods("adapter") if p["metadata"]["name"] not in known][0]
        forbidden = 'configmaps "extension-apiserver-authentication" is forbidden: User "%s" cannot %s resource "configmaps"'
        self.until(60, "without list of the ConfigMap: no start", lambda: new()["status"]["containerStatuses"][0]["restartCount"] > 0
                   and "cannot list" in self.log_of(new()))
        self.check(not is_ready(new()) and "configmaps" in self.log_of(new()) and scene.ACCOUNT in self.log_of(new()),
                   "what fails: %s" % self.log_of(new()).strip().splitlines()[-1][:300])
        self.check(self.value("Live_Work_Total") == self.posted, "the other adapter serves")
        self.reader(["list"])
        self.until(60, "without watch of the ConfigMap: it starts", lambda: is_ready(new()))
        want = forbidden % (scene.ACCOUNT, "watch")
        self.until(60, "and says what fails: " + want, lambda: want in self.log_of(new()).replace('\\"', '"'))
        self.reader(["list", "watch"])
        self.adapters = [stays, new()]

    def rollout(self):
        """Both adapters are replaced while somebody asks: nobody hears of it."""
        self.start("rollout")
        old = {p["metadata"]["uid"] for p in self.adapters}
        poller = Poller(self)
        poller.start()
        self.cluster.kubectl("-n", NAMESPACE, "rollout", "restart", "deployment/wheelpit-adapter")
        self.until(120, "two new adapters", lambda: len(self.pods("adapter")) == 2 and all(
            is_ready(p) and p["metadata"]["uid"] not in old for p in self.pods("adapter")))
        poller.over.set()
        poller.join()
        self.adapters = self.pods("adapter")
        self.check(poller.answers > 0 and poller.errors == 0 and not poller.lies, "%d answers meanwhile, %d errors, wrong: %s" % (
            poller.answers, poller.errors, poller.lies[:3]))

    # --- the server's own adapter ---------------------------------------------------------------------------------------------------

    def builtin(self):
        """wheelpit-server serves the metrics API itself."""
        self.start("built-in adapter")
        self.until(60, "the server with an adapter is ready", lambda: is_ready(self.pod("builtin")))
        address = self.pod("builtin")["status"]["podIP"]
        self.post(7, address=address)
        patch = {"spec": {"service": {"name": "builtin"}, "insecureSkipTLSVerify": True, "caBundle": None}}
        self.cluster.kubectl("patch", "apiservice", "v1beta1.external.metrics.k8s.io", "--type=merge", "-p", json.dumps(patch))
        queue = "wheelpit_queue_tasks?labelSelector=queue%3Dheavywork"
        self.until(60, "the APIService is the server's: 7 tasks wait", lambda: self.value(queue) == 7)
        said = self.kubectl_says("get", "--raw", METRICS + "wheelpit_queue_tasks", "--as=anna")
        self.check('User "anna" cannot list resource "wheelpit_queue_tasks"' in said, "it asks the cluster who may: %s" % said[-200:])
        said = self.kubectl_says("get", "--raw", METRICS + "wheelpit_queue_tasks", "--as=" + HPA_USER)
        self.check('"value":"7"' in said, "the HPA controller's user may: %s" % said[-200:])
        self.check(condition(self.get(API_SERVICE), "Available")[0] == "True", "the APIService is available")

    def end(self):
        self.check(self.restarts("adapter") == [0, 0], "the adapters were not restarted")


class Poller(threading.Thread):
    """Asks again and again while the aggregator is away: what is answered is right, or an error."""

    def __init__(self, test):
        super().__init__(daemon=True)
        self.api, self.total, self.posted_at = Api(test.cluster), test.posted, test.posted_at
        self.over, self.answers, self.errors, self.lies = threading.Event(), 0, 0, []

    def run(self):
        while not self.over.wait(0.05):
            for metric in ("live_work_total", "heavywork_requests_per_second"):
                try:
                    answer = self.api.ask(METRICS + metric)
                except (OSError, http.client.HTTPException):
                    self.errors += 1
                    continue
                if answer.status != 200:
                    self.errors += 1
                    continue
                self.answers += 1
                if not self.true(metric, answer.json["items"]):
                    self.lies.append(answer.text)

    def true(self, metric, items):
        """A total is what was posted. A rate is not zero before the last request has left its window."""
        if not items:
            return False
        value = sum(quantity(i["value"]) for i in items)
        if metric == "live_work_total":
            return value == self.total
        evaluated = calendar.timegm(time.strptime(items[0]["timestamp"], "%Y-%m-%dT%H:%M:%SZ"))
        return value > 0 or evaluated >= self.posted_at + RATE_WINDOW - 2


def run(cluster, options, out, failures):
    test = AdapterTest(cluster, options.bin, out, failures)
    try:
        test.prometheus.start()
        test.apply_base(test.overlay)
        test.adapters = test.pods("adapter")
        for part in (test.sources, test.replicas, test.surface, test.other_rules, test.authentication, test.certificate, test.rights,
                     test.rollout, test.source_down, test.aggregator_gone, test.builtin, test.end):
            part()
    finally:
        test.prometheus.stop()
        print("seconds: %s" % json.dumps(test.timings), flush=True)
        test.keep_logs()


def main():
    return testing.main("adapter", testing.arguments(__doc__).parse_args(), run)


if __name__ == "__main__":
    sys.exit(main())
