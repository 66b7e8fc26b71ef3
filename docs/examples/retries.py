"""Fail, snooze, give up: how an attempt ends decides what follows."""

from typing import Any

import workbell


@workbell.task("examples.moody", max_attempts=2)
def moody(context: workbell.TaskContext, parameters: dict[str, Any]) -> str:
    """End in the way that is asked for."""
    if parameters["mood"] == "snooze" and context.attempt == 1:
        raise workbell.Snooze(0)
    if parameters["mood"] == "wrong":
        raise workbell.Invalid("these parameters will never do")
    if parameters["mood"] == "broken":
        raise RuntimeError("try me again later")
    return f"done at attempt {context.attempt}"


def main() -> None:
    """Run a job of each mood."""
    with workbell.open("memory://") as client:
        for mood in ("good", "snooze", "wrong", "broken"):
            client.jobs.enqueue("examples.moody", {"mood": mood}, name=mood)
        client.run_until_idle()
        for job in reversed(client.jobs.find()):
            print(f"{job.name}: {job.status} {job.result or job.reason}")


if __name__ == "__main__":
    main()
