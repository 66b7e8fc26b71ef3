"""Enqueue a job in your own SQLAlchemy transaction: both commit, or neither."""

import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

import workbell


@workbell.task("examples.welcome")
def welcome(_: workbell.TaskContext, parameters: dict[str, Any]) -> dict[str, Any]:
    """Welcome a customer."""
    return {"welcomed": parameters["customer"]}


def main() -> None:
    """Add two customers, and roll one of them back."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'shop.db'}"
        engine = create_engine(url)
        with workbell.open(url, data_dir=folder) as client:
            with engine.begin() as connection:
                connection.execute(text("CREATE TABLE customers (name TEXT)"))
            for name in ("Ada", "Grace"):
                with engine.connect() as connection:
                    connection.execute(text("INSERT INTO customers VALUES (:name)"), {"name": name})
                    client.jobs.enqueue(
                        "examples.welcome", {"customer": name}, connection=connection
                    )
                    connection.commit() if name == "Ada" else connection.rollback()
            client.run_until_idle()
            for job in client.jobs.find(task="examples.welcome"):
                print(job.status, job.result)
        engine.dispose()


if __name__ == "__main__":
    main()
