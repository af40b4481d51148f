#!/usr/bin/env python3
"""Debian's Prometheus scrapes the real server, as text and as OpenMetrics, and must have stored what the pages said.

    prometheus_conformance.py BIN_DIR

Every scrape goes through a small proxy of this test, which asks for one format and keeps the page: so each stored sample is
compared with the very page that it came from, own metrics included. A second life of the server is scraped into the same series.
"""
import http.server
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import threading
import unittest
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from server_harness import Server, eventually, spawn, temp_folder  # noqa: E402

BIN = None
FORMATS = {"text": "text/plain;version=0.0.4", "openmetrics": "application/openmetrics-text;version=1.0.0"}
# Counters of the journal: they outlive the process. The others begin at 0 with it.
JOURNALED = re.compile(r"(?!wheelpit_|process_)|wheelpit_(tasks|attempts|dead_letters)_")


# --- our own reading of a page ------------------------------------------------------------------------------------------------

def unescape(text):
    return re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m.group(1), m.group(1)), text)


def parse_page(page, openmetrics):
    """({(name, frozenset of labels): value}, {family: type}, {family: help}) of a page."""
    samples, types, helps = {}, {}, {}
    for line in page.split("\n")[:-1]:
        if line.startswith("# "):
            word, name, rest = (line[2:].split(" ", 2) + ["", ""])[:3]
            if word == "TYPE":
                assert name not in types, f"two TYPE lines of {name}"
                types[name] = rest
            elif word == "HELP":
                helps[name] = unescape(rest) if openmetrics else re.sub(r"\\(\\|n)", lambda m: {"n": "\n"}.get(m.group(1), "\\"), rest)
            continue
        match = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)', line)
        assert match, f"no sample line: {line!r}"
        labels = re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"', match.group(2) or "")
        key = match.group(1), frozenset((name, unescape(value)) for name, value in labels)
        assert key not in samples, f"two lines of one series: {line!r}"
        samples[key] = float(match.group(3))
    return samples, types, helps


def same_bits(a, b):
    return (math.isnan(a) and math.isnan(b)) or struct.pack(">d", a) == struct.pack(">d", b)


class Proxy:
    """/text and /openmetrics of this door are the server's /metrics in that format; every page is kept, in order.

    Holding it keeps Prometheus waiting, so that what is stored and what is kept can be compared."""

    def __init__(self):
        self.pages = {name: [] for name in FORMATS}
        self.target = None
        self.gate = threading.Condition()
        self.held = False
        self.under_way = 0
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                proxy.scrape(self)

            def log_message(self, *unused):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def scrape(self, handler):
        name = handler.path.strip("/")
        with self.gate:
            while self.held:
                self.gate.wait()
            target = self.target
            self.under_way += 1
        try:
            request = urllib.request.Request(f"http://{target}/metrics", headers={"Accept": FORMATS[name]})
            with urllib.request.urlopen(request, timeout=60) as answer:
                page, content_type = answer.read(), answer.headers["Content-Type"]
            handler.send_response(200)
            handler.send_header("Content-Type", content_type)
            handler.send_header("Content-Length", str(len(page)))
            handler.end_headers()
            handler.wfile.write(page)
            with self.gate:
                self.pages[name].append(page.decode())
        finally:
            with self.gate:
                self.under_way -= 1
                self.gate.notify_all()

    def hold(self):
        with self.gate:
            self.held = True
            while self.under_way:
                self.gate.wait()

    def release(self, target):
        with self.gate:
            self.target, self.held = target, False
            self.gate.notify_all()

    def wait_for(self, more):
        """Until each format was scraped that many times more."""
        with self.gate:
            goal = {name: len(pages) + more for name, pages in self.pages.items()}
            while any(len(self.pages[name]) < goal[name] for name in goal):
                self.gate.wait()


class Prometheus:
    def __init__(self, folder, proxy):
        self.folder = folder
        config = os.path.join(folder, "prometheus.yml")
        jobs = "".join(f"""
- job_name: {name}
  honor_labels: true
  scrape_interval: 1s
  scrape_timeout: 1s
  metrics_path: /{name}
  static_configs: [{{targets: ["{proxy.address}"]}}]""" for name in FORMATS)
        with open(config, "w", encoding="utf-8") as f:
            f.write(f"scrape_configs:{jobs}\n")
        self.log = open(os.path.join(folder, "prometheus.log"), "w+", encoding="utf-8")
        self.process = spawn(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb", "--log.format=json",
                              "--web.listen-address=127.0.0.1:0"], stdout=self.log, stderr=self.log)
        self.address = eventually(self.find_address)

    def find_address(self):
        assert self.process.poll() is None, self.log_text()
        found = re.search(r'"address":"(127\.0\.0\.1:[1-9]\d*)"', self.log_text())
        return found and found.group(1)

    def log_text(self):
        with open(self.log.name, encoding="utf-8") as f:
            return f.read()

    def get(self, path, **query):
        with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=60) as answer:
            return json.load(answer)["data"]

    def history(self, selector):
        """{(name, frozenset of labels without job and what the scrape adds): [(time, value), …]} of everything stored."""
        stored = {}
        for series in self.get("query", query=f"{selector}[1h]")["result"]:
            labels = dict(series["metric"])
            stored[labels.pop("__name__"), frozenset(labels.items())] = [(t, float(v)) for t, v in series["values"]]
        return stored

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


class PrometheusConformance(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = temp_folder()
        self.addCleanup(self.folder.cleanup)
        self.server = Server(BIN, self.folder.name, "--pod_name=gateway-0").start()
        self.addCleanup(self.server.__exit__)
        self.proxy = Proxy()

    def reporter(self):
        reporter = spawn([os.path.join(BIN, "conformance_reporter"), self.server.grpc], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(reporter.stdout.readline(), b"ready\n")

        def end():
            reporter.stdin.close()
            reporter.wait()
            reporter.stdout.close()
        self.addCleanup(end)

    def traffic(self):
        for i in range(5):
            self.server.request("POST", "/heavywork", b"work %d" % i)
        self.server.request("POST", "/lightwork", b"")
        self.server.request("POST", "/v1/queues/other.queue/tasks", b"")
        ids = [self.server.json("POST", "/heavywork", b"fails")[1]["id"]]
        worker = spawn([self.server.client, "work", f"--address={self.server.grpc}", "--queue=heavywork", "--", "grep", "work"])
        for task in ids + [f"0-{i}" for i in range(1, 6)]:
            # The one that fails waits for its next attempt.
            eventually(lambda t=task: self.server.json("GET", f"/v1/tasks/{t}")[1]["state"] in ("TASK_STATE_SUCCEEDED", "TASK_STATE_RETRY_WAIT"))
        worker.terminate()
        worker.wait()

    def test_what_is_stored_is_what_the_pages_said(self):
        self.reporter()
        self.traffic()
        self.proxy.release(self.server.http)
        prometheus = Prometheus(self.folder.name, self.proxy)
        self.addCleanup(prometheus.stop)
        self.proxy.wait_for(3)
        self.proxy.hold()
        first = {name: len(pages) for name, pages in self.proxy.pages.items()}
        for name in FORMATS:
            with self.subTest(name):
                self.compare(prometheus, name)
                self.compare_metadata(prometheus, name)
        # The same series again out of a new process.
        self.server.kill9()
        self.server.start()
        self.proxy.release(self.server.http)
        self.proxy.wait_for(2)
        self.proxy.hold()
        for name in FORMATS:
            with self.subTest(name + " after a restart"):
                self.assertGreater(len(self.proxy.pages[name]), first[name])
                self.compare(prometheus, name)
                self.expect_no_fall(prometheus, name)
        self.assertNotIn("error", [json.loads(line).get("level") for line in prometheus.log_text().splitlines()])

    def stored(self, prometheus, name):
        """All that the scrapes of a job brought, once Prometheus has committed the last of them."""
        n = len(self.proxy.pages[name])
        # `up` and its kind are written with the scrape's own samples, in one commit.
        up = eventually(lambda: [s for s in prometheus.history(f'up{{job="{name}"}}').values() if len(s) >= n])[0]
        self.assertEqual([value for _, value in up], [1.0] * n)
        times = [t for t, _ in up]
        instance = self.proxy.address
        found = {}
        for (metric, labels), values in prometheus.history(f'{{job=~"{name}|mine"}}').items():
            labels = dict(labels)
            if labels.get("instance") == instance:
                labels.pop("instance")
            if labels.get("job") == name:
                labels.pop("job")
            found[metric, frozenset(labels.items())] = values
        return times, found

    def compare(self, prometheus, name):
        times, found = self.stored(prometheus, name)
        added = {"up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added"}
        found = {key: dict(values) for key, values in found.items() if key[0] not in added}
        pages = [parse_page(page, name == "openmetrics")[0] for page in self.proxy.pages[name]]
        self.assertEqual(len(times), len(pages))
        # A series under a job of its own carries it in both jobs: its samples are those of both.
        expected = set().union(*pages)
        self.assertEqual({key for key in found} - expected, set())
        self.assertEqual(expected - {key for key in found}, set())
        compared = 0
        for time, page in zip(times, pages):
            for key, value in page.items():
                if ("job", "mine") in key[1]:
                    self.assertIn(value, found[key].values())
                    continue
                self.assertIn(time, found[key], f"{key} was on a page and is not stored")
                self.assertTrue(same_bits(found[key][time], value), f"{key}: page {value!r}, stored {found[key][time]!r}")
                compared += 1
            for key, values in found.items():
                if key not in page and ("job", "mine") not in key[1]:
                    self.assertNotIn(time, values, f"{key} is stored and was on no page")
        self.assertGreater(compared, 300)
        awkward = {dict(labels).get("path") for metric, labels in found if metric == "conformance_requests_total"}
        self.assertEqual(awkward, {'a"b\\c\nd', "größe ☃ \U0001F680", "{}=,#\t ", "\\n is not a line", None})

    def compare_metadata(self, prometheus, name):
        _, types, helps = parse_page(self.proxy.pages[name][-1], name == "openmetrics")
        stored = {m["metric"]: m for m in prometheus.get("targets/metadata", match_target=f'{{job="{name}"}}')}
        self.assertEqual({metric: m["type"] for metric, m in stored.items()},
                         {metric: {"untyped": "unknown"}.get(kind, kind) for metric, kind in types.items()})
        self.assertEqual({metric: m["help"] for metric, m in stored.items() if m["help"]}, helps)
        kinds = set(types.values())
        self.assertLessEqual({"counter", "gauge", "histogram"}, kinds)

    def expect_no_fall(self, prometheus, name):
        _, types, _ = parse_page(self.proxy.pages["text"][-1], False)
        _, found = self.stored(prometheus, name)
        checked = 0
        for (metric, labels), values in found.items():
            if types.get(metric) != "counter" or not JOURNALED.match(metric):
                continue
            numbers = [v for _, v in sorted(values)]
            self.assertEqual(numbers, sorted(numbers), f"{metric}{set(labels)} fell")
            checked += 1
        self.assertGreater(checked, 30)

    def steady_samples(self, name):
        """What the page in this format says, without what changes by itself."""
        page = self.server.request("GET", "/metrics", headers={"Accept": FORMATS[name]})[2].decode()
        return {key: value for key, value in parse_page(page, name == "openmetrics")[0].items()
                if JOURNALED.match(key[0]) or key[0].startswith("wheelpit_queue_tasks")}

    def test_the_page_is_the_same_in_both_formats_when_nothing_happens(self):
        self.reporter()
        self.traffic()
        # Queue gauges are published ten times a second, and a failed task is still to become ready again.
        for _ in range(100):
            pages = {name: self.steady_samples(name) for name in FORMATS}
            different = {key for key in pages["text"].keys() | pages["openmetrics"].keys()
                         if not (key in pages["text"] and key in pages["openmetrics"]
                                 and same_bits(pages["text"][key], pages["openmetrics"][key]))}
            gauges = {dict(labels)["queue"] for metric, labels in pages["text"] if metric == "wheelpit_queue_tasks"}
            if not different and gauges == {"heavywork", "other.queue"}:
                break
            threading.Event().wait(0.05)
        self.assertEqual(different, set())
        self.assertEqual(gauges, {"heavywork", "other.queue"})
        self.assertGreater(len(pages["text"]), 60)

    def test_promtool_is_content(self):
        self.reporter()
        self.traffic()
        page = self.server.request("GET", "/metrics")[2]
        # It judges names and HELP texts too: of our own families all, of reported ones only that they parse.
        checked = subprocess.run(["promtool", "check", "metrics"], input=page, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        complaints = [line for line in checked.stdout.decode().splitlines() if not line.startswith("conformance_")]
        self.assertEqual(complaints, [])
        self.assertIn(checked.returncode, (0, 3))  # 3: lint alone
        own = b"".join(line + b"\n" for line in page.split(b"\n")[:-1] if b"conformance_" not in line)
        checked = subprocess.run(["promtool", "check", "metrics"], input=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual((checked.returncode, checked.stdout.decode()), (0, ""))


if __name__ == "__main__":
    BIN = os.path.abspath(sys.argv.pop(1))
    for tool in ("prometheus", "promtool"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing: ./run setup installs it")
    unittest.main(verbosity=2)
