#!/usr/bin/env python3
"""The demo: work flows in, counts flow up, workers scale. Run it with `./run demo`.

One `wheelpit up` runs the server and local workers, scaled by hpa-heavywork.yaml with the algorithm of the real
HorizontalPodAutoscaler. Two loads follow each other: /lightwork alone, which must change nothing, then /heavywork rising from 20 to
80 requests a second and falling silent. Each heavy request carries a file; a worker compresses it with xz; the results are fetched
and checked. Everything is judged from the load's and the workers' own ledgers, not from the server's counters.

Exit status 0 only if every check at the end holds.
"""
import argparse
import collections
import functools
import http.client
import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SYNC_SECONDS = 5
LIGHT = "80:20s"
HEAVY = "20:12s,50:14s,80:32s"
TASKS_MIN = 3000


class Timeline:
    """What was seen when: rate, backlog, replicas, and the desired size of each sync."""

    def __init__(self):
        self.start = time.monotonic()
        self.points = []   # (t, rate, backlog, replicas)
        self.syncs = []    # (t, value, desired)
        self.phases = []   # (t, name)

    def now(self):
        return time.monotonic() - self.start


def fetch(address, path, timeout=10):
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError("GET %s: %d %s" % (path, answer.status, body[:200]))
        return body
    finally:
        connection.close()


def metric(page, name, **labels):
    """Sum of the samples of one name whose labels include the given ones; None if there is none."""
    total = None
    for line in page.decode().splitlines():
        if not line.startswith(name) or line[len(name):len(name) + 1] not in ("{", " "):
            continue
        if all('%s="%s"' % item in line for item in labels.items()):
            total = (total or 0.0) + float(line.rsplit(" ", 1)[1])
    return total


class Up:
    """A running `wheelpit up`, and what it says line by line."""

    def __init__(self, bin_dir, folder, timeline):
        self.timeline = timeline
        self.replicas = 0
        self.syncs = 0
        self.replicas_max = 0
        self.sync_errors = 0
        self.ports = None
        self.started = threading.Event()
        self.log = open(os.path.join(folder, "up.jsonl"), "w", encoding="utf-8")
        self.worker_ledger = os.path.join(folder, "workers.ledger")
        self.process = subprocess.Popen(
            [os.path.join(bin_dir, "wheelpit"), "up", "--json",
             "--hpa=" + os.path.join(HERE, "hpa-heavywork.yaml"), "--queue=heavywork", "--slots=1",
             "--sync=%ds" % SYNC_SECONDS, "--data-dir=" + os.path.join(folder, "data"), "--ledger=" + self.worker_ledger,
             "--grpc-port=0", "--http-port=0", "--apis-port=0", "--", "xz", "-9e", "-c"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=open(os.path.join(folder, "up.log"), "w"), text=True)
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        for line in self.process.stdout:
            self.log.write(line)
            self.log.flush()
            try:
                event = json.loads(line)
            except ValueError:
                continue
            kind = event.get("event")
            if kind == "started":
                self.ports = event
                self.started.set()
            elif kind == "replicas":
                self.replicas = event["running"]
                self.replicas_max = max(self.replicas_max, self.replicas)
            elif kind == "sync":
                self.syncs += 1
                self.sync_errors += 0 if event.get("ok") else 1
                self.timeline.syncs.append((self.timeline.now(), event.get("value"), event["desired"]))
        self.started.set()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


def show(text, live):
    sys.stdout.write(("\r\033[K" + text) if live else text + "\n")
    sys.stdout.flush()


class Watcher(threading.Thread):
    """Samples rate, backlog and replicas each half second, and shows them."""

    def __init__(self, up, timeline, live):
        super().__init__(daemon=True)
        self.up, self.timeline, self.live, self.over = up, timeline, live, threading.Event()
        self.phase = ""

    def run(self):
        shown = -10
        while not self.over.wait(0.5):
            try:
                page = fetch(self.up.ports["http"], "/metrics")
            except (OSError, RuntimeError):
                continue
            t = self.timeline.now()
            ready = metric(page, "wheelpit_queue_tasks", queue="heavywork", state="ready") or 0
            leased = metric(page, "wheelpit_queue_tasks", queue="heavywork", state="leased") or 0
            rate = metric(page, "wheelpit_queue_submit_rate_per_second", queue="heavywork", window="10s") or 0
            self.timeline.points.append((t, rate, ready + leased, self.up.replicas))
            if self.live or t - shown >= 5:
                shown = t
                show("%5.0f s  %-22s rate %5.1f/s  backlog %5d  replicas %d %s"
                     % (t, self.phase, rate, ready + leased, self.up.replicas, "#" * self.up.replicas), self.live)


def load(bin_dir, ports, route, profile, ledger, payload):
    command = [os.path.join(bin_dir, "wheelpit"), "load", "--http=http://" + ports["http"], "--route=" + route,
               "--profile=" + profile, "--ledger=" + ledger, "--json"]
    if payload:
        command += ["--payload-dir=" + payload, "--payload-bytes-min=8KiB", "--payload-bytes-max=64KiB"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError("wheelpit load %s ended with %d: %s" % (route, done.returncode, done.stdout[-500:]))
    return json.loads(done.stdout.strip().splitlines()[-1])


def read_ledger(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.strip()]


@functools.lru_cache(maxsize=None)
def sent(path):
    """The file that a request carried."""
    with open(path, "rb") as f:
        return f.read()


def check_results(ports, accepted):
    """Fetches every result and compares what xz made of it with what was sent; returns the number that differ."""
    connection = http.client.HTTPConnection(ports["http"], timeout=30)
    wrong = 0
    for entry in accepted:
        connection.request("GET", "/v1/tasks/%s/result" % entry["id"])
        answer = connection.getresponse()
        body = answer.read()
        try:
            plain = lzma.decompress(body) if answer.status == 200 else None
        except lzma.LZMAError:
            plain = None
        if plain is None or plain != sent(entry["payload"]):
            wrong += 1
    connection.close()
    return wrong


def wait_until(seconds, what, condition):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.2)
    print("\ntimed out after %d s: %s" % (seconds, what))
    return False


def picture(timeline, path):
    """Draws rate, backlog and replicas over time as an SVG of three rows."""
    width, row, left, gap, top = 960, 130, 70, 34, 46
    end = max(timeline.points[-1][0], 1)
    x = lambda t: left + (width - left - 20) * t / end
    rows = [("requests/s", 1, "#1f77b4"), ("backlog", 2, "#d62728"), ("replicas", 3, "#2ca02c")]
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">'
           % (width, top + 3 * (row + gap) + 10), '<rect width="100%" height="100%" fill="white"/>',
           '<text x="%d" y="20" font-size="15">Work flows in, counts flow up, workers scale</text>' % left]
    for t, name in timeline.phases:
        out.append('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#bbb" stroke-dasharray="3 3"/>'
                   % (x(t), x(t), top - 8, top + 3 * (row + gap) - gap))
        out.append('<text x="%.1f" y="%d" fill="#666">%s</text>' % (x(t) + 3, top - 12, name))
    for i, (title, column, colour) in enumerate(rows):
        y0 = top + i * (row + gap) + row
        peak = max(max(p[column] for p in timeline.points), 1)
        y = lambda v: y0 - row * v / peak
        out.append('<text x="%d" y="%d" fill="%s">%s</text>' % (left + 6, y0 - row + 14, colour, title))
        for fraction in (0, 0.5, 1):
            out.append('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#eee"/>' % (left, width - 20, y(peak * fraction), y(peak * fraction)))
            out.append('<text x="%d" y="%.1f" text-anchor="end" fill="#666">%g</text>' % (left - 6, y(peak * fraction) + 4, round(peak * fraction, 1)))
        points, last = [], None
        for p in timeline.points:
            if title == "replicas" and last is not None:
                points.append("%.1f,%.1f" % (x(p[0]), y(last)))
            points.append("%.1f,%.1f" % (x(p[0]), y(p[column])))
            last = p[column]
        out.append('<polyline fill="none" stroke="%s" stroke-width="1.8" points="%s"/>' % (colour, " ".join(points)))
        if title == "replicas":
            for t, _, desired in timeline.syncs:
                out.append('<circle cx="%.1f" cy="%.1f" r="2.2" fill="#555"/>' % (x(t), y(min(desired, peak))))
    for t in range(0, int(end) + 1, 20):
        out.append('<text x="%.1f" y="%d" text-anchor="middle" fill="#666">%d s</text>' % (x(t), top + 3 * (row + gap) - gap + 16, t))
    out.append("</svg>")
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(out) + "\n")


def judge(up, ports, timeline, light, accepted, requests_before, light_replicas, back_to_one):
    executions = [e for e in read_ledger(up.worker_ledger) if e["outcome"] == "completed" and e["accepted"]]
    runs = collections.Counter(e["task"] for e in executions)
    ids = {e["id"] for e in accepted}
    page = fetch(ports["http"], "/metrics")
    dead = metric(page, "wheelpit_queue_tasks", queue="heavywork", state="dead")
    requests = (metric(page, "wheelpit_adapter_requests_total", api="external") or 0) - requests_before
    wrong = check_results(ports, accepted)
    print("\n")
    checks = [
        ("/lightwork alone kept 1 replica (%d requests)" % light["acknowledged"], light_replicas == 1),
        ("at least %d tasks submitted: %d" % (TASKS_MIN, len(ids)), len(ids) >= TASKS_MIN),
        ("no id given twice", len(ids) == len(accepted)),
        ("none dead: %s" % dead, dead == 0),
        ("each completed exactly once: %d completed, %d more than once, %d missing"
         % (len(runs), sum(1 for n in runs.values() if n > 1), len(ids - set(runs))),
         set(runs) == ids and all(n == 1 for n in runs.values())),
        ("each result is the file sent, compressed: %d wrong" % wrong, wrong == 0),
        ("replicas reached 4 or more: %d" % up.replicas_max, up.replicas_max >= 4),
        ("replicas came back to 1", back_to_one),
        ("no sync without a value: %d of %d failed" % (up.sync_errors, up.syncs), up.sync_errors == 0 and up.syncs > 10),
        ("the metrics API answered each sync: %d requests, %d syncs" % (requests, up.syncs), requests >= up.syncs - 1),
    ]
    for text, ok in checks:
        print("  %s  %s" % ("ok  " if ok else "FAIL", text))
    return all(ok for _, ok in checks)


def keep_running(ports):
    print("""
Still running (--keep); end it with Ctrl-C. Open and try:
  http://%(http)s/            index
  http://%(http)s/metrics     what Prometheus scrapes
  curl -X POST --data-binary @/etc/hosts http://%(http)s/heavywork
  wheelpit queues --address=%(grpc)s
  curl --cacert %(data_dir)s/adapter.crt -H "Authorization: Bearer $(cat %(data_dir)s/adapter.token)" \\
    https://%(apis)s/apis/external.metrics.k8s.io/v1beta1/namespaces/default/heavywork_requests_per_second
""" % ports)
    try:
        signal.pause()
    except KeyboardInterrupt:
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="folder of wheelpit and wheelpit-server")
    parser.add_argument("--keep", action="store_true", help="leave it running at the end")
    parser.add_argument("--out", default="build/demo", help="folder for logs, ledgers and the picture (default build/demo)")
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    os.makedirs(options.out)
    folder = tempfile.mkdtemp(prefix="run-", dir=options.out)
    live = sys.stdout.isatty()
    timeline = Timeline()
    up = Up(options.bin, folder, timeline)
    watcher = None
    try:
        if not up.started.wait(30) or up.ports is None:
            print("wheelpit up did not start; see %s" % os.path.join(folder, "up.log"))
            return 1
        ports = up.ports
        print("server: gRPC %(grpc)s, HTTP http://%(http)s, metrics APIs https://%(apis)s" % ports)
        wait_until(20, "first worker", lambda: up.replicas == 1)
        requests_before = metric(fetch(ports["http"], "/metrics"), "wheelpit_adapter_requests_total", api="external") or 0
        requests_before -= up.syncs
        watcher = Watcher(up, timeline, live)
        watcher.start()

        def phase(name):
            watcher.phase = name
            timeline.phases.append((timeline.now(), name))

        phase("/lightwork 80/s")
        light = load(options.bin, ports, "/lightwork", LIGHT, os.path.join(folder, "light.ledger"), None)
        light_replicas = up.replicas_max
        phase("/heavywork 20..80/s")
        heavy_ledger = os.path.join(folder, "heavy.ledger")
        load(options.bin, ports, "/heavywork", HEAVY, heavy_ledger, "/usr/include")
        phase("silence")
        accepted = [e for e in read_ledger(heavy_ledger) if e.get("id")]
        idle = lambda: timeline.points and timeline.points[-1][2] == 0 and timeline.now() - timeline.phases[-1][0] > 2
        wait_until(90, "the backlog drains", idle)
        back_to_one = wait_until(75, "replicas come back to 1", lambda: up.replicas == 1)
        time.sleep(1.5)
        watcher.over.set()
        watcher.join()
        good = judge(up, ports, timeline, light, accepted, requests_before, light_replicas, back_to_one)
        svg = os.path.join(options.out, "timeline.svg")
        picture(timeline, svg)
        print("\n%s in %.0f s; picture: %s; logs and ledgers: %s" % ("passed" if good else "FAILED", timeline.now(), svg, folder))
        if options.keep:
            keep_running(ports)
        return 0 if good else 1
    finally:
        if watcher is not None:
            watcher.over.set()
        up.stop()


if __name__ == "__main__":
    sys.exit(main())
