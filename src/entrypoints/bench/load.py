"""HTTP load generator: `wrk` if installed, else Python threads."""

import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

from attrs import Factory, frozen

from workbell.entrypoints.bench.workers import other_process, percentiles, run_threads

_SCRIPT = """
local requests, turn = {}, 0
init = function(args)
  for n, token in ipairs(tokens) do
    wrk.headers["Authorization"] = "Bearer " .. token
    requests[n] = wrk.format()
  end
  if #tokens == 0 then requests[1] = wrk.format() end
end
request = function()
  turn = turn % #requests + 1
  return requests[turn]
end
done = function(summary, latency, _)
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('\\n{"rate":%f,"bad":%d,"p50":%f,"p99":%f}\\n',
    (summary.requests - errors.status) * 1e6 / summary.duration, errors.status + lost,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""


@frozen(kw_only=True)
class LoadRequest:
    """A request to repeat, with each of `tokens` in turn if there are any."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = Factory(dict[str, str])
    body: str = ""
    tokens: Sequence[str] = ()


@frozen(kw_only=True)
class LoadResult:
    """Successful responses per second, latency in ms, and number of failures."""

    rate: float
    p50: float
    p99: float
    bad: int


def load_generator() -> str:
    """Return the name of the load generator."""
    return "wrk" if shutil.which("wrk") else "Python threads (install wrk for realistic figures)"


def generate_load(request: LoadRequest, seconds: int, connections: int) -> LoadResult:
    """Repeat a request for some seconds, from another process."""
    if shutil.which("wrk"):
        return _load_with_wrk(request, seconds, connections)
    with other_process() as other:
        return other.submit(_load_with_threads, request, seconds, connections).result()


def _load_with_wrk(request: LoadRequest, seconds: int, connections: int) -> LoadResult:
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
    return LoadResult(**json.loads(printed.strip().splitlines()[-1]))


def _load_with_threads(request: LoadRequest, seconds: int, connections: int) -> LoadResult:
    """Send from threads of this process; the interpreter limits the rate."""
    times: list[float] = []
    bad: list[int] = []
    url = urlsplit(request.url)
    tokens = [{"Authorization": f"Bearer {token}"} for token in request.tokens]
    variants = [_encode(request, token) for token in tokens or [{}]]
    end = time.perf_counter() + seconds

    def send(first: int) -> None:
        requests = islice(cycle(variants), first, None)
        with socket.create_connection((url.hostname, url.port or 80)) as connection:
            while (started := time.perf_counter()) < end:
                status = _exchange_request(connection, next(requests))
                times.append(time.perf_counter() - started)
                if not 200 <= status < 300:
                    bad.append(status)

    run_threads(connections, send)
    p50, p99 = percentiles(times)
    good = len(times) - len(bad)
    return LoadResult(rate=good / seconds, p50=p50 * 1000, p99=p99 * 1000, bad=len(bad))


def _encode(request: LoadRequest, token: Mapping[str, str]) -> bytes:
    url = urlsplit(request.url)
    path = f"{url.path}?{url.query}" if url.query else url.path
    own = {"Host": url.netloc, "Content-Length": str(len(request.body))}
    headers = own | dict(request.headers) | dict(token)
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    return f"{request.method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n{request.body}".encode()


def _exchange_request(connection: socket.socket, request: bytes) -> int:
    """Send a request; return the status of a response with Content-Length."""
    connection.sendall(request)
    response = b""
    while b"\r\n\r\n" not in response:
        response += connection.recv(65_536) or b"\r\n\r\n"
    head, _, body = response.partition(b"\r\n\r\n")
    fields = head.lower().split(b"\r\n")
    length = next((int(f[15:]) for f in fields if f.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65_536)
    return int(fields[0].split()[1])
