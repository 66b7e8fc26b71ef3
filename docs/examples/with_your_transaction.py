"""Enqueue within your own SQLAlchemy transaction: both happen, or neither."""

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
    """Add two customers, one of whom is taken back."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'shop.db'}"
        engine = create_engine(url)
        with workbell.open(url, data_dir=folder) as client:
            with engine.begin() as mine:
                mine.execute(text("CREATE TABLE customers (name TEXT)"))
            for name in ("Ada", "Grace"):
                with engine.connect() as mine:
                    mine.execute(text("INSERT INTO customers VALUES (:name)"), {"name": name})
                    client.jobs.enqueue("examples.welcome", {"customer": name}, connection=mine)
                    mine.commit() if name == "Ada" else mine.rollback()
            client.run_until_idle()
            for job in client.jobs.find(task="examples.welcome"):
                print(job.status, job.result)
        engine.dispose()


if __name__ == "__main__":
    main()
