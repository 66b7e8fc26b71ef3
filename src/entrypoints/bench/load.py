"""Load on a server, by `wrk` where it is installed, else by Python."""

import json
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit

from attrs import Factory, frozen

CONNECTIONS = 16
_SCRIPT = """
local asked, turn = {}, 0
init = function(args)
  for n, token in ipairs(tokens) do
    wrk.headers["Authorization"] = "Bearer " .. token
    asked[n] = wrk.format()
  end
  if #tokens == 0 then asked[1] = wrk.format() end
end
request = function()
  turn = turn % #asked + 1
  return asked[turn]
end
done = function(summary, latency, requests)
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('\\n{"good":%d,"bad":%d,"seconds":%f,"p50":%f,"p99":%f}\\n',
    summary.requests - errors.status, errors.status + lost, summary.duration / 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""


@frozen(kw_only=True)
class Request:
    """What is asked again and again, by the holders of `tokens` in turn if there are any."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = Factory(dict[str, str])
    body: str = ""
    tokens: Sequence[str] = ()


@frozen(kw_only=True)
class LoadResult:
    """What came of it: good answers a second, latency in ms, and how many were not good."""

    rate: float
    p50: float
    p99: float
    bad: int


def load_generator() -> str:
    """Return what makes the load."""
    return "wrk" if shutil.which("wrk") else "Python threads (install wrk for figures that count)"


def generate_load(request: Request, seconds: int, connections: int = CONNECTIONS) -> LoadResult:
    """
    Ask over so many connections for so long, from another process.

    Raises:
        CalledProcessError: The load could not be made.
    """
    if shutil.which("wrk"):
        return _load_with_wrk(request, seconds, connections)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
        return other.submit(_load_with_threads, request, seconds, connections).result()


def _load_with_wrk(request: Request, seconds: int, connections: int) -> LoadResult:
    tokens = ", ".join(map(json.dumps, request.tokens))
    lines = [f"wrk.method = {json.dumps(request.method)}", f"tokens = {{{tokens}}}"]
    if request.body:
        lines.append(f"wrk.body = [==[{request.body}]==]")
    with tempfile.TemporaryDirectory() as scratch:
        script = Path(scratch) / "load.lua"
        script.write_text("\n".join(lines) + _SCRIPT)
        headers = [f"-H{name}: {value}" for name, value in request.headers.items()]
        size = ["-t1", f"-c{connections}", f"-d{seconds}s"]
        command = ["wrk", *size, *headers, "-s", str(script), request.url]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    said = json.loads(printed.strip().splitlines()[-1])
    return LoadResult(
        rate=said["good"] / said["seconds"], p50=said["p50"], p99=said["p99"], bad=said["bad"]
    )


def _load_with_threads(request: Request, seconds: int, connections: int) -> LoadResult:
    """Ask from threads of this process; its interpreter bounds the figure."""
    times: list[float] = []
    bad: list[int] = []
    until = time.perf_counter() + seconds

    def ask(first: int) -> None:
        turns = islice(cycle(_variants(request)), first, None)
        with socket.create_connection(_address(request)) as connection:
            while (begun := time.perf_counter()) < until:
                status = _send(connection, next(turns))
                times.append(time.perf_counter() - begun)
                if not 200 <= status < 300:
                    bad.append(status)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cuts = quantiles(times, n=100)
    good = len(times) - len(bad)
    return LoadResult(rate=good / seconds, p50=cuts[49] * 1000, p99=cuts[98] * 1000, bad=len(bad))


def _address(request: Request) -> tuple[str, int]:
    url = urlsplit(request.url)
    return url.hostname or "127.0.0.1", url.port or 80


def _variants(request: Request) -> Sequence[bytes]:
    tokens = [{"Authorization": f"Bearer {token}"} for token in request.tokens]
    return [_encode(request, token) for token in tokens or [{}]]


def _encode(request: Request, token: Mapping[str, str]) -> bytes:
    url = urlsplit(request.url)
    path = f"{url.path}?{url.query}" if url.query else url.path
    headers = {
        "Host": url.netloc,
        "Content-Length": str(len(request.body)),
        **request.headers,
        **token,
    }
    lines = [
        f"{request.method} {path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + request.body).encode()


def _send(connection: socket.socket, asked: bytes) -> int:
    """Return the status of the answer to a request; its length must be told."""
    connection.sendall(asked)
    head, _, body = b"", b"", b""
    while not head:
        body += connection.recv(65_536) or b"\r\n\r\n"
        head, _, rest = body.partition(b"\r\n\r\n") if b"\r\n\r\n" in body else (b"", b"", b"")
        body = rest if head else body
    fields = head.lower().split(b"\r\n")
    length = next((int(f[15:]) for f in fields if f.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65_536)
    return int(fields[0].split()[1])
