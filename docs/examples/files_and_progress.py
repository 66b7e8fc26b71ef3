"""Report progress, store a file, and stop on cancellation."""

import tempfile
from typing import Any

import workbell


@workbell.task("examples.export", timeout_seconds=60)
def export(context: workbell.TaskContext, parameters: dict[str, Any]) -> dict[str, int]:
    """Write rows to a file that is stored with the job."""
    lines = []
    for n in range(parameters["rows"]):
        context.check()
        context.progress(n + 1, parameters["rows"], "writing")
        lines.append(f"{n},{n * n}")
    context.artifact("squares.csv", "\n".join(lines).encode(), "text/csv")
    return {"rows": len(lines)}


def main() -> None:
    """Run an export."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/jobs.db"
        with workbell.open(url, workers=2, data_dir=folder) as client:
            job = client.jobs.enqueue("examples.export", {"rows": 100})
            client.run_until_idle()
            finished = client.jobs.get(job.id)
            print(finished.status, finished.result, finished.progress)


if __name__ == "__main__":
    main()
