"""Send Email: one message to one address, through the mailer port."""

from hashlib import sha256
from typing import Annotated, Any

from attrs import Attribute, field, frozen

from workbell.domain.constraints import Constraints
from workbell.domain.jobs.task import Task, TaskContext
from workbell.ports.mail import Email, Mailer

MAX_DELAY = 30 * 24 * 3600
MAX_BODY = 50_000


def _one_line(_: object, attribute: "Attribute[str]", text: str) -> None:
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in text):
        raise ValueError(f"{attribute.name} must be a single line")


@frozen(kw_only=True)
class SendEmail:
    """Whom to write to, when, and what."""

    email: Annotated[
        str,
        Constraints(
            max_length=254,
            pattern=r"[^@\s<>,;:\"()\x00-\x20\x7f]+@[^@\s<>,;:\"()\x00-\x20\x7f]+",
            hint="must be an e-mail address",
            description="The address to send to.",
            example="someone@example.com",
        ),
    ]
    delay: Annotated[
        int, Constraints(ge=0, le=MAX_DELAY, description="Seconds to wait before it is sent.")
    ] = 0
    subject: Annotated[str, Constraints(min_length=1, max_length=200)] = field(
        default="A message from Workbell", validator=_one_line
    )
    body: Annotated[str, Constraints(max_length=MAX_BODY)] = (
        "This message was sent by a scheduled job."
    )


@frozen
class EmailSender:
    """Sends what the parameters say."""

    mailer: Mailer

    def run(self, context: TaskContext, parameters: SendEmail) -> dict[str, Any]:
        """
        Hand the message to the mailer.

        Every try of a job sends the same message id, so that a mail server
        or a reader may drop the copies.

        Raises:
            Invalid: The address cannot be sent to.
            Unavailable: The mail server did not take it.
        """
        context.check()
        message_id = f"<{sha256(context.idempotency_key.encode()).hexdigest()[:32]}@workbell>"
        self.mailer.send(
            Email(
                to=parameters.email,
                subject=parameters.subject,
                text=parameters.body,
                message_id=message_id,
            )
        )
        context.log.info("sent", email=parameters.email, message_id=message_id)
        return {
            "email": parameters.email,
            "subject": parameters.subject,
            "message_id": message_id,
        }

    def task(self) -> Task:
        """Return the task; its delay moves the due time, no worker sleeps."""
        return Task(
            key="email.send",
            name="Send Email",
            description="Sends an e-mail, after a delay if one is given.",
            parameters=SendEmail,
            body=self.run,
            delay=_delay,
            timeout_seconds=120,
        )


def _delay(parameters: SendEmail) -> float:
    return float(parameters.delay)
