"""Send tasks until stdin closes; print the number of each accepted one."""

import random
import sys
import threading
import time
from importlib import import_module

from dramatiq import DramatiqError
from kombu.exceptions import OperationalError
from redis import RedisError

_UNAVAILABLE = (OSError, DramatiqError, OperationalError, RedisError)


def main() -> None:
    """Send a task every `pace` seconds; one that raises is not accepted."""
    system, first, pace = sys.argv[1], sys.argv[2], float(sys.argv[3])
    work = import_module(f"{system}_app").work
    send = work.delay if system == "celery" else work.send
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    chance = random.Random(1)
    n = 0
    while not over.wait(pace):
        n += 1
        number = f"{first}-{n}"
        try:
            send(number, chance.randrange(300))
        except _UNAVAILABLE:
            time.sleep(0.1)
            continue
        print(number, flush=True)


if __name__ == "__main__":
    main()
