#!/usr/bin/env python3
"""The real server's HTTP and HTTPS doors, as applications, people and autoscalers use them.

    server_doors_test.py BIN_DIR [unittest arguments]
"""
import gzip
import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from server_harness import Server, eventually, spawn, temp_folder  # noqa: E402

BIN = None
HEAVY = "heavywork_requests_total"
LIGHT = "lightwork_requests_total"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"


def counter(server, name):
    """The sum over all series of a family."""
    return sum(float(v) for series, v in server.metrics().items() if series.split("{")[0] == name)


def reason(answer):
    return json.loads(answer[2])["error"]["reason"]


class ServerTest(unittest.TestCase):
    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.folder = temp_folder()
        cls.server = Server(BIN, cls.folder.name, *cls.flags).start()

    @classmethod
    def tearDownClass(cls):
        with cls.server:
            pass
        cls.folder.cleanup()

    def worker(self, queue, *command):
        """A worker process on the queue; ended with the test."""
        worker = spawn([self.server.client, "work", f"--address={self.server.grpc}", "--queue", queue, "--", *command])
        self.addCleanup(lambda: (worker.terminate(), worker.wait()))
        return worker


class GatewayTest(ServerTest):
    def test_heavywork_is_accepted_counted_and_can_be_followed(self):
        before = counter(self.server, HEAVY)
        status, headers, body = self.server.request("POST", "/heavywork", b"some work")
        self.assertEqual(status, 202)
        answer = json.loads(body)
        self.assertEqual(answer["message"], "Heavy work started")
        self.assertEqual(headers["location"], f"/v1/tasks/{answer['id']}")
        self.assertEqual(counter(self.server, HEAVY), before + 1)
        status, task = self.server.json("GET", headers["location"])
        self.assertEqual((status, task["id"], task["queue"]), (200, answer["id"], "heavywork"))
        self.assertIn(task["state"], ("TASK_STATE_READY", "TASK_STATE_LEASED", "TASK_STATE_SUCCEEDED"))

    def test_lightwork_is_counted_and_leaves_no_task(self):
        before, tasks = counter(self.server, LIGHT), counter(self.server, "wheelpit_tasks_submitted_total")
        status, answer = self.server.json("POST", "/lightwork", b"")
        self.assertEqual((status, answer), (200, {"message": "Light work done"}))
        self.assertEqual(counter(self.server, LIGHT), before + 1)
        self.assertEqual(counter(self.server, "wheelpit_tasks_submitted_total"), tasks)

    def test_a_repeat_with_the_same_key_is_one_task_counted_once(self):
        before = counter(self.server, HEAVY)
        headers = {"Idempotency-Key": "the very same"}
        _, first = self.server.json("POST", "/heavywork", b"x", headers)
        _, second = self.server.json("POST", "/heavywork", b"x", headers)
        self.assertEqual(first["id"], second["id"])
        self.assertEqual(counter(self.server, HEAVY), before + 1)
        conflict = self.server.request("POST", "/heavywork", b"other", headers)
        self.assertEqual((conflict[0], reason(conflict)), (409, "IDEMPOTENCY_CONFLICT"))
        self.assertEqual(counter(self.server, HEAVY), before + 1)

    def test_what_is_refused_is_not_counted(self):
        before = counter(self.server, HEAVY)
        refused = self.server.request("POST", "/heavywork", bytes((1 << 20) + 1))
        self.assertEqual((refused[0], reason(refused)), (413, "PAYLOAD_TOO_LARGE"))
        # Told from the head alone: no byte of such a body is read.
        connection = http.client.HTTPConnection(self.server.http, timeout=60)
        connection.putrequest("POST", "/heavywork")
        connection.putheader("Content-Length", str(1 << 30))
        connection.endheaders()
        self.assertEqual(connection.getresponse().status, 413)
        connection.close()
        status, headers, _ = self.server.request("GET", "/heavywork")
        self.assertEqual((status, headers["allow"]), (405, "POST"))
        self.assertEqual(self.server.request("POST", "/no/such/route", b"x")[0], 404)
        self.assertEqual(counter(self.server, HEAVY), before)

    def test_a_payload_of_the_largest_size_goes_in_and_comes_out(self):
        payload = os.urandom(1 << 20)
        status, task = self.server.json("POST", "/v1/queues/largest/tasks", payload)
        self.assertEqual(status, 202)
        self.worker("largest", "sha256sum")
        _, done = self.server.json("GET", f"/v1/tasks/{task['id']}?wait=10m")
        self.assertEqual(done["state"], "TASK_STATE_SUCCEEDED")
        result = self.server.request("GET", f"/v1/tasks/{task['id']}/result")[2]
        self.assertEqual(result.decode().split()[0], hashlib.sha256(payload).hexdigest())


class HostileInputTest(ServerTest):
    """No input takes the server down, now or at its next start, and each refusal says what was wrong, as JSON that parses."""

    def raw(self, head, body=b""):
        """(status, body) of a request written as bytes."""
        host, port = self.server.http.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            try:
                connection.sendall(head + b"\r\n\r\n" + body)
            except OSError:
                pass  # answered before all was read
            answer = b""
            while True:
                try:
                    piece = connection.recv(65536)
                except ConnectionResetError:
                    break
                if not piece:
                    break
                answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def post(self, path, *headers, body=b"x"):
        lines = [b"POST %s HTTP/1.1" % path, b"Host: a", b"Connection: close", b"Content-Length: %d" % len(body), *headers]
        return self.raw(b"\r\n".join(lines), body)

    def refused(self, status, reason, *request):
        got, body = self.post(*request)
        self.assertEqual((got, json.loads(body.decode())["error"]["reason"]), (status, reason), request)

    def test_text_that_is_no_utf8_is_refused_and_no_start_meets_it(self):
        queue = b"/v1/queues/hostile/tasks"
        for header in (b"Idempotency-Key: \xff", b"Content-Type: text/\xc3", b"traceparent: \x80", b"X-Task-Attribute: a=\xff",
                       b"X-Task-Attribute: \xff=a", b"X-Task-Priority: \xff"):
            self.refused(400, "BAD_FIELD", queue, header)
        self.refused(400, "BAD_FIELD", b"/v1/queues/%ff%00/tasks")
        self.refused(400, "BAD_FIELD", b"/heavywork", b"Idempotency-Key: \xff\xfe")
        status, body = self.raw(b"GET /v1/tasks/%ff HTTP/1.1\r\nHost: a\r\nConnection: close")
        self.assertEqual((status, json.loads(body.decode())["error"]["reason"]), (400, "BAD_FIELD"))
        status, body = self.raw(b"GET /api/v1/query?query=%ff HTTP/1.1\r\nHost: a\r\nConnection: close")
        self.assertEqual((status, json.loads(body.decode())["errorType"]), (400, "bad_data"))
        status, _ = self.post(queue, b"X-Task-Attribute: n=\xe2\x82\xac", body=bytes(range(256)))
        self.assertEqual(status, 202)
        self.server.kill9()
        self.server.start()
        self.assertEqual(self.server.request("GET", "/readyz")[0], 200)

    def test_numbers_and_durations_without_measure_are_refused(self):
        queue = b"/v1/queues/hostile/tasks"
        for header, why in ((b"X-Task-Delay: 1e30h", "BAD_FIELD"), (b"X-Task-Delay: nan", "BAD_FIELD"), (b"X-Task-Delay: -5s", "BAD_FIELD"),
                            (b"X-Task-Delay: 99999999999h", "OUT_OF_LIMITS"), (b"X-Task-Lease-TTL: 100000h", "OUT_OF_LIMITS"),
                            (b"X-Task-Not-Before-Ms: 9223372036854775807", "OUT_OF_LIMITS"),
                            (b"X-Task-Not-Before-Ms: -9223372036854775808", "BAD_FIELD"),
                            (b"X-Task-Not-Before-Ms: 9223372036854775808", "BAD_FIELD"),
                            (b"X-Task-Expire-At-Ms: 9223372036854775807", "OUT_OF_LIMITS"), (b"X-Task-Priority: 8", "OUT_OF_LIMITS"),
                            (b"X-Task-Priority: 99999999999", "BAD_FIELD"), (b"X-Task-Max-Attempts: -1", "BAD_FIELD"),
                            (b"X-Task-Max-Attempts: 4294967295", "OUT_OF_LIMITS"), (b"X-Task-Attempt-Timeout: 1ns", "BAD_FIELD")):
            self.refused(400, why, queue, header)
        for wait, why in (("-1s", "OUT_OF_LIMITS"), ("11m", "OUT_OF_LIMITS"), ("1e99h", "BAD_FIELD"), ("nan", "BAD_FIELD")):
            answer = self.server.request("GET", f"/v1/tasks/0-1?wait={wait}")
            self.assertEqual((answer[0], reason(answer)), (400, why))
        for time in ("nan", "1e400", "-1e300", "x"):
            self.assertEqual(self.server.request("GET", f"/api/v1/query?query=1&time={time}")[0], 400)
        for query in ("(" * 5000, "-" * 5000 + "1", "rate(x[1e300s])", "x offset 99999999999y", '{a=~"' + "(" * 500 + '"}'):
            status, answer = self.server.json("POST", "/api/v1/query", urllib.parse.urlencode({"query": query}),
                                              {"Content-Type": "application/x-www-form-urlencoded"})
            self.assertEqual((status, answer["errorType"]), (400, "bad_data"), query[:40])

    def test_what_is_too_long_or_too_many_is_refused(self):
        queue = b"/v1/queues/hostile/tasks"
        self.refused(400, "BAD_FIELD", queue, b"Idempotency-Key: " + b"k" * 129)
        self.refused(400, "BAD_FIELD", queue, b"Content-Type: " + b"t" * 256)
        self.refused(400, "BAD_FIELD", queue, b"X-Task-Attribute: a=" + b"v" * 5000)
        self.refused(400, "BAD_FIELD", queue, *(b"X-Task-Attribute: a%d=v" % i for i in range(33)))
        self.refused(400, "BAD_FIELD", queue, b"X-Task-Fairness-Key: tenant")
        self.refused(400, "BAD_FIELD", queue, b"X-Task-Bogus: 1")
        self.refused(400, "BAD_FIELD", b"/v1/queues/" + b"q" * 64 + b"/tasks")
        self.assertEqual(self.post(queue, *(b"A: b" for _ in range(10_000)))[0], 431)
        self.assertEqual(self.post(queue, b"A: " + b"b" * 1_000_000)[0], 431)
        self.assertEqual(self.post(b"/v1/queues/" + b"q" * 100_000 + b"/tasks")[0], 414)
        for length in (b"-1", b"1e3", b"99999999999999999999"):
            self.assertIn(self.raw(b"POST /heavywork HTTP/1.1\r\nHost: a\r\nContent-Length: " + length)[0], (400, 413))
        self.assertEqual(self.raw(b"POST /heavywork HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked", b"ffffffffffffffffffff\r\n")[0], 400)
        self.assertEqual(self.server.request("GET", "/healthz")[0], 200)


class TaskRoutesTest(ServerTest):
    def test_a_result_is_the_workers_bytes(self):
        payload = bytes(range(256)) * 16
        status, task = self.server.json("POST", "/v1/queues/echo/tasks", payload, {"X-Task-Priority": "3", "X-Task-Attribute": "a=b"})
        self.assertEqual(status, 202)
        early = self.server.request("GET", f"/v1/tasks/{task['id']}/result")
        self.assertEqual((early[0], reason(early)), (409, "NO_RESULT"))
        self.worker("echo", "cat")
        status, done = self.server.json("GET", f"/v1/tasks/{task['id']}?wait=10m")
        self.assertEqual((status, done["state"]), (200, "TASK_STATE_SUCCEEDED"))
        self.assertEqual((done["priority"], done["attributes"], done["attempts"]), (3, {"a": "b"}, 1))
        status, headers, result = self.server.request("GET", f"/v1/tasks/{task['id']}/result")
        self.assertEqual((status, result), (200, payload))
        self.assertEqual(headers["x-content-type-options"], "nosniff")

    def test_a_result_over_the_limit_kills_the_task_for_good(self):
        _, task = self.server.json("POST", "/v1/queues/big/tasks", b"")
        self.worker("big", "head", "-c", str((64 << 10) + 1), "/dev/zero")
        _, done = self.server.json("GET", f"/v1/tasks/{task['id']}?wait=10m")
        self.assertEqual((done["state"], done["dead_reason"], done["attempts"]), ("TASK_STATE_DEAD", "not_retryable", 1))
        self.assertIn("result", done["last_error"])
        listed = self.server.run("tasks", "list", "--queue=big", "--state=dead").stdout.rstrip("\n").split("\t")
        self.assertEqual((listed[0], listed[1], listed[4]), (task["id"], "dead", done["last_error"][:80]))

    def test_a_wait_returns_the_task_as_it_is(self):
        _, task = self.server.json("POST", "/v1/queues/nobody/tasks", b"")
        status, still = self.server.json("GET", f"/v1/tasks/{task['id']}?wait=10ms")
        self.assertEqual((status, still["state"]), (200, "TASK_STATE_READY"))

    def test_a_cancelled_task_is_over(self):
        _, task = self.server.json("POST", "/v1/queues/nobody/tasks", b"")
        status, cancelled = self.server.json("DELETE", f"/v1/tasks/{task['id']}")
        self.assertEqual((status, cancelled["state"]), (200, "TASK_STATE_CANCELLED"))
        _, seen = self.server.json("GET", f"/v1/tasks/{task['id']}?wait=10m")
        self.assertEqual(seen["state"], "TASK_STATE_CANCELLED")

    def test_errors_have_a_status_and_a_reason(self):
        for method, path, status, why in (("GET", "/v1/tasks/0-999999", 404, "TASK"), ("GET", "/v1/tasks/nonsense", 400, "BAD_FIELD"),
                                          ("GET", "/v1/tasks/0-999999/result", 404, "TASK"),
                                          ("GET", "/v1/tasks/0-1?wait=soon", 400, "BAD_FIELD"),
                                          ("GET", "/v1/tasks/0-1?wait=11m", 400, "OUT_OF_LIMITS"),
                                          ("POST", "/v1/queues/_bad/tasks", 400, "BAD_FIELD")):
            with self.subTest(path):
                answer = self.server.request(method, path, b"")
                self.assertEqual((answer[0], reason(answer)), (status, why))
        answer = self.server.request("POST", "/v1/queues/q/tasks", b"", {"X-Task-Priority": "9000"})
        self.assertEqual((answer[0], reason(answer)), (400, "OUT_OF_LIMITS"))


class PagesTest(ServerTest):
    def test_probes_and_the_index_answer(self):
        self.assertEqual(self.server.request("GET", "/healthz")[::2], (200, b"ok\n"))
        self.assertEqual(self.server.request("GET", "/readyz")[::2], (200, b"ok\n"))
        status, headers, body = self.server.request("GET", "/")
        self.assertEqual((status, headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn(b"/metrics", body)

    def test_a_gauge_of_the_command_line_stays_and_is_set_again(self):
        for value in ("4.5", "-2"):
            self.server.run("report", "tank_litres", value, "--gauge", "--label=tank=a", "--reporter_id=plumber")
            self.assertEqual(self.server.run("query", "tank_litres").stdout, f'tank_litres{{tank="a"}}\t{value}\n')
        self.assertIn('tank_litres{tank="a"}', self.server.metrics())

    def test_metrics_are_negotiated(self):
        cases = (("", "text/plain; version=0.0.4; charset=utf-8", False),
                 ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text; version=1.0.0; charset=utf-8", True),
                 ("text/html, */*;q=0.1", "text/plain; version=0.0.4; charset=utf-8", False))
        for accept, content_type, eof in cases:
            with self.subTest(accept):
                status, headers, body = self.server.request("GET", "/metrics", headers={"Accept": accept} if accept else None)
                self.assertEqual(status, 200)
                self.assertTrue(headers["content-type"].startswith(content_type), headers["content-type"])
                self.assertEqual(headers["vary"], "Accept, Accept-Encoding")
                self.assertEqual(body.endswith(b"# EOF\n"), eof)
        _, headers, body = self.server.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        self.assertEqual(headers["content-encoding"], "gzip")
        self.assertIn(HEAVY.encode(), gzip.decompress(body))
        status, headers, body = self.server.request("HEAD", "/metrics")
        self.assertEqual((status, body), (200, b""))
        self.assertEqual(self.server.request("POST", "/metrics", b"")[0], 405)


class ExternalMetricsTest(ServerTest):
    def value(self, metric, **more):
        status, _, body = self.server.apis_request(f"{EXTERNAL}/namespaces/default/{metric}", **more)
        return status, json.loads(body)

    def test_the_door_asks_for_the_token(self):
        for token in ("", "wrong"):
            for path in ("/apis", EXTERNAL, f"{EXTERNAL}/namespaces/default/heavywork_requests_per_second"):
                status, _, body = self.server.apis_request(path, token=token)
                self.assertEqual((status, json.loads(body)["reason"]), (401, "Unauthorized"))
        self.assertEqual(self.server.apis_request("/healthz", token="")[0], 200)

    def test_discovery_names_the_gateways_rates(self):
        status, _, body = self.server.apis_request(EXTERNAL)
        resources = json.loads(body)
        self.assertEqual((status, resources["kind"], resources["groupVersion"]),
                         (200, "APIResourceList", "external.metrics.k8s.io/v1beta1"))
        names = [r["name"] for r in resources["resources"]]
        self.assertIn("heavywork_requests_per_second", names)
        self.assertIn("lightwork_requests_per_second", names)
        self.assertEqual(names, sorted(names))

    def test_an_unknown_metric_is_not_found(self):
        status, answer = self.value("no_such_metric")
        self.assertEqual((status, answer["kind"], answer["reason"], answer["code"]), (404, "Status", "NotFound", 404))

    def test_an_idle_queue_and_an_idle_route_read_zero(self):
        _, task = self.server.json("POST", "/v1/queues/idle/tasks", b"")
        self.server.json("DELETE", f"/v1/tasks/{task['id']}")
        selector = urllib.parse.quote("queue=idle")

        def idle():
            status, answer = self.value(f"wheelpit_queue_demand_tasks?labelSelector={selector}")
            if status == 404:
                return False  # the rule has not seen the queue's gauges yet
            self.assertEqual(status, 200)
            self.assertIn([i["metricLabels"] for i in answer["items"]], ([], [{"queue": "idle"}]))
            return [i["value"] for i in answer["items"]] == ["0"]

        eventually(idle)
        # Not one request was made.
        status, answer = self.value("lightwork_requests_per_second")
        self.assertEqual((status, answer["kind"]), (200, "ExternalMetricValueList"))
        self.assertEqual([(i["metricName"], i["value"]) for i in answer["items"]], [("lightwork_requests_per_second", "0")])

    def test_a_rate_is_what_was_counted_over_its_window(self):
        for _ in range(30):
            self.server.request("POST", "/heavywork", b"x")
        # The window is 30 s and what has run of the second: all 30 of them are 30/31 to 1 per second, 29 are less.
        def complete():
            status, answer = self.value("heavywork_requests_per_second")
            self.assertEqual((status, len(answer["items"])), (200, 1))
            value = answer["items"][0]["value"]
            milli = float(value[:-1]) if value.endswith("m") else 1000 * float(value)
            self.assertLessEqual(milli, 1000)
            return milli >= 967

        eventually(complete)


class RestartTest(ServerTest):
    def query(self, expression):
        status, answer = self.server.json("GET", "/api/v1/query?query=" + urllib.parse.quote(expression))
        self.assertEqual(status, 200, answer)
        return [float(element["value"][1]) for element in answer["data"]["result"]]

    def test_totals_and_windows_outlive_both_kinds_of_end(self):
        for _ in range(7):
            self.server.request("POST", "/heavywork", b"x")
        for _ in range(5):
            self.server.request("POST", "/lightwork", b"x")
        # The running second is no part of a window.
        window = f"increase({HEAVY}[1h])"
        eventually(lambda: self.query(window) == [7])
        self.server.kill9()
        self.server.start()
        self.assertEqual((counter(self.server, HEAVY), counter(self.server, LIGHT)), (7, 5))
        self.assertEqual(self.query(window), [7])
        self.assertEqual(self.query('wheelpit_queue_tasks{queue="heavywork",state="ready"}'), [7])
        self.server.request("POST", "/heavywork", b"x")
        self.assertEqual(self.server.terminate(), 0)
        self.server.start()
        self.assertEqual((counter(self.server, HEAVY), counter(self.server, LIGHT)), (8, 5))
        eventually(lambda: self.query(window) == [8])
        self.assertEqual(counter(self.server, "wheelpit_tasks_submitted_total"), 8)
        self.assertEqual(counter(self.server, "wheelpit_recovery_replayed_records"), 0, "SIGTERM leaves a checkpoint")


class DiskLowTest(ServerTest):
    def test_new_work_is_refused_and_old_work_goes_on(self):
        _, task = self.server.json("POST", "/heavywork", b"old work")
        self.assertEqual(self.server.terminate(), 0)
        # More than any disk has. Readers, workers and the end of old tasks need no more room than is kept for them.
        self.server.start("--journal_disk_low_bytes=8000TiB")
        for path in ("/heavywork", "/v1/queues/q/tasks"):
            refused = self.server.request("POST", path, b"new work")
            self.assertEqual((refused[0], reason(refused)), (507, "DISK_LOW"))
        self.assertEqual(counter(self.server, HEAVY), 1)
        eventually(lambda: self.server.metrics().get("wheelpit_journal_disk_low") == "1")
        self.worker("heavywork", "cat")
        _, done = self.server.json("GET", f"/v1/tasks/{task['id']}?wait=10m")
        self.assertEqual(done["state"], "TASK_STATE_SUCCEEDED")
        self.assertEqual(self.server.request("GET", f"/v1/tasks/{task['id']}/result")[2], b"old work")
        self.assertEqual(self.server.terminate(), 0)
        self.server.start()
        self.assertEqual(self.server.request("POST", "/heavywork", b"new work")[0], 202)


class StartTest(unittest.TestCase):
    """What the server refuses to start with, and how it says so."""

    def setUp(self):
        self.folder = temp_folder()
        self.addCleanup(self.folder.cleanup)
        self.server = Server(BIN, self.folder.name)
        self.addCleanup(self.server.__exit__)

    def refusal(self, *more, env=None):
        ended = subprocess.run(self.server.arguments(*more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env={**os.environ, **(env or {})})
        self.assertNotEqual(ended.returncode, 0, ended.stdout)
        return ended.stdout

    def test_a_door_to_other_machines_is_said_out_loud(self):
        for door in ("grpc", "http", "apis"):
            self.assertIn("--allow_insecure", self.refusal(f"--{door}_host=0.0.0.0"))
        self.server.start("--http_host=0.0.0.0", "--allow_insecure")
        self.assertEqual(self.server.metrics()["wheelpit_insecure_doors"], "1")
        self.assertIn("insecure_doors", self.server.log())

    def test_a_wrong_name_anywhere_stops_the_start_and_names_the_right_one(self):
        self.assertIn("queue_lease_ttl", self.refusal("--queue_lease_tll=30s"))
        self.assertIn("queue_lease_ttl", self.refusal(env={"WHEELPIT_QUEUE_LEASE_TLL": "30s"}))
        config = os.path.join(self.folder.name, "config.yaml")
        with open(config, "w", encoding="utf-8") as f:
            f.write("queue: {lease_tll: 30s}\n")
        told = self.refusal(f"--config={config}")
        self.assertIn("queue_lease_ttl", told)
        self.assertIn(config, told)
        self.assertIn("queue_lease_ttl", self.refusal("--queue_lease_ttl=13h"))

    def test_a_damaged_journal_is_refused_until_one_says_what_to_do(self):
        self.server.start()
        for i in range(20):
            self.assertEqual(self.server.request("POST", "/heavywork", b"payload %02d " % i + b"x" * 500)[0], 202)
        self.server.kill9()
        journal = os.path.join(self.server.data_dir, "journal")
        # A byte of an early payload, which later commits say was synced.
        damaged = None
        for name in sorted(os.listdir(journal)):
            path = os.path.join(journal, name)
            with open(path, "rb") as f:
                at = f.read().find(b"payload 03 ")
            if at >= 0:
                damaged = path
                with open(path, "r+b") as f:
                    f.seek(at + 20)
                    f.write(b"X")
        self.assertIsNotNone(damaged)
        told = self.refusal()
        self.assertIn(os.path.basename(damaged), told)
        self.assertIn("journal_repair", told)
        # Refusing changed nothing.
        plain = [line for line in told.splitlines() if not line.startswith("time=")]
        self.assertEqual([line for line in self.refusal().splitlines() if not line.startswith("time=")], plain)
        self.server.start("--journal_repair")
        self.assertEqual(self.server.json("GET", "/v1/tasks/0-3")[0], 200)
        self.assertEqual(self.server.request("GET", "/v1/tasks/0-20")[0], 404)
        self.assertEqual(counter(self.server, HEAVY), 3)


if __name__ == "__main__":
    BIN = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
