"""The two systems that reaction_bench.py compares, each on a control plane of its own: k8s/base, and Prometheus with prometheus-adapter.

Both answer `reaction_requests_per_second` of each namespace from one rule file, through the API server's aggregation layer, and know the
application's counts in their own way: told by libwheelpit, or scraped from the application's page.
"""
import http.client
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "cluster"))
import cluster as clusters  # noqa: E402
import testing  # noqa: E402

FILES = os.path.join(HERE, "reaction")
APISERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"
TARGET = 5  # requests a second that one pod is for


def filled(name, **values):
    """A file of the folder with each @NAME@ replaced."""
    with open(os.path.join(FILES, name)) as f:
        return re.sub(r"@([A-Z_]+)@", lambda m: str(values[m.group(1)]), f.read())


def wait_available(cluster):
    clusters.wait_for(120, "the APIService", lambda: testing.condition(cluster.get(APISERVICE), "Available")[0] == "True")


class Side:
    def __init__(self, bin_dir, out):
        self.bin, self.out = bin_dir, out

    def images(self):
        return {"wheelpit/reaction-app:0.1.0": [os.path.join(self.bin, "reaction_app")]}

    def rules(self):
        return filled("rules.yaml.in", WINDOW=self.window)

    def application(self, namespace):
        return filled("application.yaml.in", NAMESPACE=namespace, TARGET=TARGET, AGGREGATOR=self.aggregator)


class Ours(Side):
    key, title = "ours", "wheelpit"
    window = 30  # of the built-in rules
    aggregator = "wheelpit-aggregator.wheelpit.svc.cluster.local:7070"

    def images(self):
        return dict(super().images(), **clusters.default_images(self.bin))

    def apply(self, cluster):
        """k8s/base as it is, and the rule file."""
        folder = os.path.join(self.out, "overlay")
        os.makedirs(folder)
        with open(os.path.join(folder, "rules.yaml"), "w") as f:
            f.write(self.rules())
        with open(os.path.join(folder, "kustomization.yaml"), "w") as f:
            f.write(filled("kustomization.yaml.in", BASE=os.path.relpath(testing.BASE, os.path.realpath(folder))))
        cluster.kubectl("apply", "-k", folder)
        wait_available(cluster)

    def problems(self, cluster, sent):
        """What is wrong with the counts: the aggregator's totals must be what was acknowledged to the senders, {namespace: n}."""
        pod = cluster.get("/api/v1/namespaces/wheelpit/pods/wheelpit-aggregator-0")
        connection = http.client.HTTPConnection(pod["status"]["podIP"], 7080, timeout=30)
        connection.request("GET", "/metrics")
        page = connection.getresponse().read().decode()
        totals = {}
        for labels, value in re.findall(r"^reaction_requests_total\{(.*)\} (\d+)$", page, re.M):
            namespace = re.search(r'namespace="([^"]*)"', labels).group(1)
            totals[namespace] = totals.get(namespace, 0) + int(value)
        return [] if totals == sent else ["the totals are %s, but %s requests were acknowledged" % (totals, sent)]


class Theirs(Side):
    key, title = "theirs", "prometheus-adapter"
    window = 60  # four scrapes
    scrape = 15
    relist = 30
    aggregator = ""

    def images(self):
        clusters.toolchain.ensure("prometheus-adapter")
        return dict(super().images(), **{
            "prometheus": ["prometheus"],
            "prometheus-adapter": [os.path.join(clusters.toolchain.BIN, "prometheus-adapter")],
        })

    def apply(self, cluster):
        cluster.apply(filled("peer.yaml.in", SCRAPE=self.scrape, RELIST=self.relist, TARGETS=cluster.path("pods.json"),
                             RULES=json.dumps(self.rules())))
        wait_available(cluster)

    def problems(self, cluster, sent):
        """What is wrong with the set-up: every pod must be scraped at the interval that is claimed."""
        pod = cluster.get("/api/v1/namespaces/monitoring/pods?labelSelector=app%3Dprometheus")["items"][0]
        connection = http.client.HTTPConnection(pod["status"]["podIP"], 9090, timeout=30)
        connection.request("GET", "/api/v1/targets?state=active")
        targets = json.loads(connection.getresponse().read())["data"]["activeTargets"]
        good = {t["labels"]["namespace"] for t in targets if t["health"] == "up" and t["scrapeInterval"] == "%ds" % self.scrape}
        return [] if good == set(sent) else ["Prometheus scrapes %s, not each of %s" % (sorted(good), sorted(sent))]
