"""Sending email in a background thread."""

from threading import Event

import pytest
from attrs import Factory, define

from workbell.adapters.mail import background
from workbell.adapters.mail.background import BackgroundMailer
from workbell.domain.errors import Unavailable
from workbell.ports.mail import Email

pytestmark = pytest.mark.unit


def message(to: str) -> Email:
    return Email(to=to, subject="s", text="t")


@define
class Slow:
    gate: Event = Factory(Event)
    sent: list[str] = Factory(list[str])

    def send(self, message: Email) -> None:
        self.gate.wait(5)
        if message.to == "away":
            raise Unavailable("no")
        if message.to == "broken":
            raise ZeroDivisionError
        self.sent.append(message.to)


def test_callers_do_not_wait_and_the_order_is_preserved() -> None:
    slow = Slow()
    mailer = BackgroundMailer(slow)
    for to in ("a", "away", "broken", "b"):
        mailer.send(message(to))
    assert slow.sent == []
    slow.gate.set()
    mailer.flush()
    assert slow.sent == ["a", "b"]


def test_an_email_for_a_full_queue_is_dropped_and_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "MAX_QUEUED", 2)
    slow = Slow()
    mailer = BackgroundMailer(slow)
    for n in range(9):
        mailer.send(message(str(n)))
    slow.gate.set()
    mailer.flush()
    assert 2 <= len(slow.sent) <= 3


def test_an_idle_thread_ends_and_a_new_one_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "IDLE_SECONDS", 0.01)
    slow = Slow()
    slow.gate.set()
    mailer = BackgroundMailer(slow)
    for to in ("a", "b"):
        mailer.send(message(to))
        mailer.flush()
        thread = mailer._thread
        if thread is not None:
            thread.join(5)
        assert mailer._thread is None
    assert slow.sent == ["a", "b"]


def test_an_email_queued_while_the_thread_ends_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "IDLE_SECONDS", 0.0001)
    slow = Slow()
    slow.gate.set()
    mailer = BackgroundMailer(slow)
    for n in range(300):
        mailer.send(message(str(n)))
    mailer.flush()
    assert slow.sent == [str(n) for n in range(300)]
