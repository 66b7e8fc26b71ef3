"""Retry, snooze, fail for good: the end of an attempt decides."""

from typing import Any

import workbell


@workbell.task("examples.ending", max_attempts=2)
def end(context: workbell.TaskContext, parameters: dict[str, Any]) -> str:
    """End as the parameters demand."""
    if parameters["ending"] == "snooze" and context.attempt == 1:
        raise workbell.Snooze(60)
    if parameters["ending"] == "wrong":
        raise workbell.Invalid("these parameters are not supported")
    if parameters["ending"] == "broken":
        raise RuntimeError("the server is busy")
    return f"done at attempt {context.attempt}"


def main() -> None:
    """Run a job for each ending."""
    with workbell.open("memory://") as client:
        for ending in ("good", "snooze", "wrong", "broken"):
            client.jobs.enqueue("examples.ending", {"ending": ending}, name=ending)
        client.run_until_idle()
        for job in reversed(client.jobs.find()):
            print(f"{job.name}: {job.status} {job.result or job.reason or 'in a minute'}")


if __name__ == "__main__":
    main()
