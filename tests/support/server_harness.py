"""The real programs, for tests in Python (standard library only).

    server = Server(bin_dir, folder, "--queue_lease_ttl=2s").start()   # ready when it returns
    status, headers, body = server.request("POST", "/heavywork", b"...")
    server.kill9(); server.start()                                     # the same folder, other ports
    assert server.terminate() == 0
"""
import ctypes
import http.client
import json
import os
import signal
import ssl
import subprocess
import tempfile
import threading

# Tests run on full disks and small ones alike; the one about low disks sets its own.
FLAGS = ("--grpc_port=0", "--http_port=0", "--apis_port=0", "--journal_segment_bytes=4MiB", "--journal_disk_low_bytes=0",
         "--journal_disk_low_percent=0")


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def temp_folder():
    """On the build folder's disk where ctest says so; vanishes with the object."""
    return tempfile.TemporaryDirectory(prefix="wheelpit-test-", dir=os.environ.get("TEST_TMPDIR"))


def spawn(arguments, **more):
    """A child that does not outlive the test."""
    return subprocess.Popen(arguments, preexec_fn=_die_with_parent, **more)


def eventually(check):
    """What `check` returns once that is true. The limit is the test's own, in ctest."""
    pause = threading.Event()
    while True:
        found = check()
        if found:
            return found
        pause.wait(0.05)


class Server:
    def __init__(self, bin_dir, folder, *flags):
        self.program = os.path.join(bin_dir, "wheelpit-server")
        self.client = os.path.join(bin_dir, "wheelpit")
        self.folder = os.path.abspath(folder)
        self.data_dir = os.path.join(self.folder, "state")
        self.log_file = os.path.join(self.folder, "server.log")
        self.flags = list(flags)
        self.process = None

    def arguments(self, *more):
        return [self.program, f"--data_dir={self.data_dir}", *FLAGS, *self.flags, *more]

    def start(self, *more):
        with open(self.log_file, "ab") as log:
            self.process = spawn(self.arguments(*more), stdout=subprocess.PIPE, stderr=log)
        line = self.process.stdout.readline()  # the addresses, once ready
        if not line:
            raise AssertionError(f"wheelpit-server ended with {self.process.wait()}: {self.log()}")
        self.ports = json.loads(line)
        self.grpc, self.http, self.apis = (self.ports[door] for door in ("grpc", "http", "apis"))
        return self

    def log(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as f:
            return f.read()

    def kill9(self):
        self.process.kill()
        self._end()

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)
        return self._end()

    def _end(self):
        code = self.process.wait()
        self.process.stdout.close()
        self.process = None
        return code

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process is not None:
            self.kill9()

    def request(self, method, path, body=None, headers=None):
        """(status, headers by lower-case name, body) of the HTTP door."""
        return fetch(http.client.HTTPConnection(self.http, timeout=60), method, path, body, headers)

    def json(self, method, path, body=None, headers=None):
        status, _, text = self.request(method, path, body, headers)
        return status, json.loads(text)

    def metrics(self):
        """{series as written: value as written} of the text page."""
        _, _, page = self.request("GET", "/metrics")
        lines = [line for line in page.decode().splitlines() if line and not line.startswith("#")]
        return dict(line.rsplit(" ", 1) for line in lines)

    def apis_request(self, path, token=None, headers=None, method="GET"):
        """(status, headers, body) of the metrics APIs, certificate checked. token: None = the right one, "" = none."""
        context = ssl.create_default_context(cafile=os.path.join(self.data_dir, "adapter.crt"))
        headers = dict(headers or {})
        if token is None:
            with open(os.path.join(self.data_dir, "adapter.token"), encoding="utf-8") as f:
                token = f.read().strip()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return fetch(http.client.HTTPSConnection(self.apis, timeout=60, context=context), method, path, None, headers)

    def run(self, *arguments, **more):
        """The command line client against this server; its output as text."""
        more.setdefault("check", True)
        return subprocess.run([self.client, arguments[0], f"--address={self.grpc}", *arguments[1:]], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, **more)


def fetch(connection, method, path, body=None, headers=None):
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()
