"""Declare a task, enqueue a job, and read its result."""

from attrs import frozen

import workbell


@frozen
class Greeting:
    """The parameters; a missing or misspelled field is rejected when the job is enqueued."""

    name: str
    loud: bool = False


@workbell.task("examples.greet", name="Greet a person")
def greet(context: workbell.TaskContext, parameters: Greeting) -> dict[str, str]:
    """Return a greeting."""
    context.log.info("greeting", name=parameters.name)
    text = f"Hello, {parameters.name}!"
    return {"text": text.upper() if parameters.loud else text}


def main() -> None:
    """Enqueue and run one job."""
    with workbell.open("memory://") as client:
        job = client.jobs.enqueue("examples.greet", Greeting("Ada"))
        client.run_until_idle()
        print(client.jobs.get(job.id).result["text"])


if __name__ == "__main__":
    main()
