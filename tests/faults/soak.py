"""Keep the service busy, and watch its memory and its promises."""

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.kill import Load, Report, account, figures, free_port, tokens, wait_until_ended
from tests.faults.service import Service

SAMPLE_SECONDS = 10.0
WARM_UP = 0.2
MOST_GROWTH = 1.05


def resident(pid: int) -> int:
    """Return how many bytes of memory a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Run for so many minutes, print what was found, and say whether it is clean."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    with tempfile.TemporaryDirectory(prefix="workbell-soak-") as scratch:
        folder = Path(scratch)
        service = Service(folder, free_port(), {"WORKBELL_ACCESS_TOKEN_MINUTES": "1440"})
        service.start()
        load = Load(service, tokens(service))
        load.start()
        samples = _watch(service, load, minutes * 60)
        load.end()
        report = Report(0, accepted=len(load.accepted))
        wait_until_ended(folder / "data" / "workbell.db")
        service.terminate()
        account(report, folder, load.accepted)
    warm = samples[int(len(samples) * WARM_UP) :]
    growth = warm[-1] / warm[0]
    for name, value in figures(report):
        print(f"{name:16} {value}")
    print(f"{'memory':16} {warm[0] / 2**20:.1f} to {warm[-1] / 2**20:.1f} MiB, x{growth:.3f}")
    clean = report.clean and growth <= MOST_GROWTH
    print("clean" if clean else "BROKEN")
    return 0 if clean else 1


def _watch(service: Service, load: Load, seconds: float) -> list[int]:
    assert service.process is not None
    samples: list[int] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(min(SAMPLE_SECONDS, max(0.1, until - time.monotonic())))
        samples.append(resident(service.process.pid))
        now = f"{samples[-1] / 2**20:.1f} MiB, {len(load.accepted)} jobs"
        print(now, file=sys.stderr)
    return samples


if __name__ == "__main__":
    sys.exit(main())
