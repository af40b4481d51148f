"""What adapter_test.py puts on the cluster: k8s/base with a rule file, a serving certificate and short memories for the adapters; a pod
as people run prometheus-adapter; a wheelpit-server that serves the metrics APIs itself; certificates of several authorities."""
import json
import os
import shutil
import subprocess

import cluster as clusters
from pki import Pki
from testing import BASE, NAMESPACE, wait_for_port

ACCOUNT = "system:serviceaccount:wheelpit:wheelpit-adapter"
SERVICE_NAME = "wheelpit-adapter.wheelpit.svc"
# Of what the adapters remember; the tests wait them out.
MEMORY = ["--authorization-webhook-cache-authorized-ttl=2s", "--authorization-webhook-cache-unauthorized-ttl=1s",
          "--authentication-token-webhook-cache-ttl=1s"]

# Live and scraped side by side. The first name has capitals, which client-go never sends.
RULES = """
externalRules:
- seriesQuery: '{__name__="heavywork_requests_total"}'
  source: aggregator
  name: {as: Live_Work_Total}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>})
- seriesQuery: '{__name__="heavywork_requests_total"}'
  source: prometheus
  name: {as: scraped_work_total}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>})
- seriesQuery: '{__name__="heavywork_requests_total"}'
  name: {as: auto_work_total}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>})
- seriesQuery: '{__name__="heavywork_requests_total"}'
  source: aggregator
  name: {as: third_of_work}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) / 3
- seriesQuery: '{__name__="heavywork_requests_total"}'
  source: aggregator
  name: {as: thousand_works}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) * 1000
- seriesQuery: '{__name__="heavywork_requests_total"}'
  source: aggregator
  name: {as: endless_work}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) / 0
- seriesQuery: '{__name__="heavywork_requests_total"}'
  source: aggregator
  name: {as: wrong_query}
  metricsQuery: topk(1, <<.Series>>{<<.LabelMatchers>>})
- seriesQuery: 'up{job="wheelpit"}'
  source: prometheus
  resources: {namespaced: false}
  name: {as: aggregator_up}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>})
"""

LATE_RULE = """
- seriesQuery: '{__name__="heavywork_requests_total"}'
  source: aggregator
  name: {as: late_work}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) * 2
"""

# As people have it: prometheus-adapter's own keys and nothing else, with all three kinds of rules.
UNCHANGED_RULES = """
rules:
- seriesQuery: 'http_requests_total{kubernetes_namespace!="",kubernetes_pod_name!=""}'
  seriesFilters: [{isNot: "_bucket$"}]
  resources:
    overrides:
      kubernetes_namespace: {resource: "namespace"}
      kubernetes_pod_name: {resource: "pod"}
  name: {matches: "^(.*)_total$", as: "${1}_per_second"}
  metricsQuery: 'sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)'
externalRules:
- seriesQuery: '{__name__=~"^.*_requests_total$",namespace!=""}'
  seriesFilters: [{isNot: "^lightwork_"}]
  resources: {overrides: {namespace: {resource: "namespace"}}}
  name: {matches: "^(.*)_total$", as: "${1}_seen"}
  metricsQuery: 'sum by (pod) (<<.Series>>{<<.LabelMatchers>>})'
- seriesQuery: '{__name__="up"}'
  resources: {namespaced: false}
  metricsQuery: 'min(<<.Series>>{<<.LabelMatchers>>})'
resourceRules:
  cpu:
    containerQuery: 'sum by (<<.GroupBy>>) (irate(container_cpu_usage_seconds_total{<<.LabelMatchers>>,container!=""}[4m]))'
    nodeQuery: 'sum by (<<.GroupBy>>) (irate(node_cpu_usage_seconds_total{<<.LabelMatchers>>}[4m]))'
    resources: {overrides: {namespace: {resource: namespace}, node: {resource: node}, pod: {resource: pod}}}
    containerLabel: container
  window: 5m
"""

# The flags of a common Deployment of prometheus-adapter.
UNCHANGED_FLAGS = ["--cert-dir=/var/run/serving-cert", "--config=/etc/adapter/config.yaml", "--metrics-relist-interval=1m",
                   "--secure-port=6443", "--logtostderr=true", "--v=4",
                   "--tls-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,"
                   "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]


class Certificates:
    """Two authorities for serving, strangers, and clients of the cluster's own authorities."""

    def __init__(self, cluster, folder):
        self.pki, self.cluster_pki = Pki(folder), Pki(cluster.path("pki"))
        for name in ("ca", "front-proxy-ca"):
            for end in (".crt", ".key"):
                shutil.copy(self.cluster_pki.path(name + end), folder)
        for n in ("1", "2"):
            self.pki.authority("serving-ca-" + n)
            self.pki.leaf("serving-" + n, "serving-ca-" + n, "/CN=wheelpit-adapter", "DNS:" + SERVICE_NAME)
        self.pki.authority("strange-ca")
        self.pki.leaf("second-proxy", "front-proxy-ca", "/CN=second-proxy")
        self.pki.leaf("strange-proxy", "strange-ca", "/CN=second-proxy")
        self.pki.leaf("no-proxy", "front-proxy-ca", "/CN=no-proxy")
        self.pki.leaf("anna", "ca", "/O=people/CN=anna")
        self.pki.leaf("stranger", "strange-ca", "/O=system:masters/CN=stranger")

    def pair(self, name):
        """Paths of a certificate and its key."""
        pki = self.pki if os.path.exists(self.pki.path(name + ".crt")) else self.cluster_pki
        return pki.path(name + ".crt"), pki.path(name + ".key")

    def secret(self, n):
        return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "adapter-tls", "namespace": NAMESPACE},
                "data": {"tls.crt": self.pki.data("serving-%s.crt" % n), "tls.key": self.pki.data("serving-%s.key" % n)}}

    def bundle(self, n):
        return self.pki.data("serving-ca-%s.crt" % n)


class Prometheus:
    """Debian's, beside the cluster on the bridge's address, asking the aggregator's pod once a second."""

    def __init__(self, host, folder):
        self.host, self.folder, self.process = host, folder, None
        os.makedirs(folder)
        self.port = clusters.free_ports(1)[0]
        self.targets = os.path.join(folder, "targets.json")
        self.ask([])
        with open(os.path.join(folder, "prometheus.yml"), "w") as f:
            json.dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [
                {"job_name": "wheelpit", "honor_labels": True, "file_sd_configs": [{"files": [self.targets]}]}]}, f)

    @property
    def address(self):
        return "%s:%d" % (self.host, self.port)

    def ask(self, addresses):
        """Whom to ask from now on."""
        with open(self.targets + ".new", "w") as f:
            json.dump([{"targets": addresses}], f)
        os.replace(self.targets + ".new", self.targets)

    def start(self):
        with open(os.path.join(self.folder, "prometheus.log"), "ab") as log:
            self.process = subprocess.Popen(
                ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", "--web.listen-address=" + self.address],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for_port(self.host, self.port, self.process)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None


def binding(name, account, role, namespace=None, kind="ClusterRole"):
    """Of a role to a service account of the namespace wheelpit."""
    metadata = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding" if namespace else "ClusterRoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}]}


def pod(name, image, arguments, account, volumes, mounts):
    """One that the namespace's restricted policy takes."""
    https = {"path": "/readyz", "port": 6443, "scheme": "HTTPS"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name}}, "spec": {
        "serviceAccountName": account, "automountServiceAccountToken": True, "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                            "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "main", "image": image, "args": arguments, "readinessProbe": {"httpGet": https, "periodSeconds": 1},
                        "env": [{"name": "POD_NAMESPACE", "value": NAMESPACE}], "volumeMounts": mounts,
                        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                            "capabilities": {"drop": ["ALL"]}}}],
        "volumes": volumes}}


def config_map(name, text):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}, "data": {"config.yaml": text}}


def unchanged_adapter(prometheus):
    volumes = [{"name": "config", "configMap": {"name": "unchanged-rules"}}, {"name": "cert", "emptyDir": {}}]
    mounts = [{"name": "config", "mountPath": "/etc/adapter", "readOnly": True}, {"name": "cert", "mountPath": "/var/run/serving-cert"}]
    return [config_map("unchanged-rules", UNCHANGED_RULES),
            pod("unchanged", "wheelpit/adapter:0.1.0", UNCHANGED_FLAGS + ["--prometheus-url=http://%s/" % prometheus], "wheelpit-adapter",
                volumes, mounts)]


def serving_server():
    """A wheelpit-server whose own adapter is the metrics API, with the rights of k8s/base/adapter-rbac.yaml for its account."""
    arguments = ["--data_dir=/var/lib/wheelpit", "--http_host=0.0.0.0", "--allow_insecure", "--apis_host=0.0.0.0", "--apis_port=6443",
                 "--apis_auth=kubernetes"]
    return [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "builtin", "namespace": NAMESPACE}},
            binding("builtin:auth-delegator", "builtin", "system:auth-delegator"),
            binding("builtin:reader", "builtin", "extension-apiserver-authentication-reader", "kube-system", "Role"),
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "builtin", "namespace": NAMESPACE},
             "spec": {"selector": {"app": "builtin"}, "ports": [{"name": "https", "port": 443, "targetPort": 6443}]}},
            pod("builtin", "wheelpit/server:0.1.0", arguments, "builtin", [{"name": "data", "emptyDir": {}}],
                [{"name": "data", "mountPath": "/var/lib/wheelpit"}])]


def api_service(group, bundle):
    """Of a group that the adapter serves empty."""
    return {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1beta1." + group},
            "spec": {"group": group, "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100, "caBundle": bundle,
                     "service": {"name": "wheelpit-adapter", "namespace": NAMESPACE, "port": 443}}}


def write_overlay(folder, certificates, prometheus):
    """A kustomization over k8s/base; its path."""
    os.makedirs(folder)
    things = [config_map("adapter-rules", RULES), certificates.secret("1")] + unchanged_adapter(prometheus) + serving_server()
    with open(os.path.join(folder, "things.yaml"), "w") as f:
        f.write("---\n".join(json.dumps(thing) + "\n" for thing in things))
    flags = MEMORY + ["--metrics-relist-interval=3s", "--config=/etc/adapter/config.yaml", "--prometheus-url=http://" + prometheus,
                      "--tls-cert-file=/etc/adapter-tls/tls.crt", "--tls-private-key-file=/etc/adapter-tls/tls.key"]
    template = "/spec/template/spec/"
    deployment = [{"op": "add", "path": template + "containers/0/args/-", "value": flag} for flag in flags] + [
        {"op": "add", "path": template + "volumes", "value": [
            {"name": "rules", "configMap": {"name": "adapter-rules"}}, {"name": "tls", "secret": {"secretName": "adapter-tls"}}]},
        {"op": "add", "path": template + "containers/0/volumeMounts", "value": [
            {"name": "rules", "mountPath": "/etc/adapter", "readOnly": True}, {"name": "tls", "mountPath": "/etc/adapter-tls", "readOnly": True}]}]
    service = [{"op": "remove", "path": "/spec/insecureSkipTLSVerify"}, {"op": "add", "path": "/spec/caBundle", "value": certificates.bundle("1")}]
    base = os.path.relpath(os.path.realpath(BASE), os.path.realpath(folder))
    with open(os.path.join(folder, "kustomization.yaml"), "w") as f:
        json.dump({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": [base, "things.yaml"], "patches": [
            {"target": {"kind": "Deployment", "name": "wheelpit-adapter"}, "patch": json.dumps(deployment)},
            {"target": {"kind": "APIService", "name": "v1beta1.external.metrics.k8s.io"}, "patch": json.dumps(service)}]}, f)
    return folder
