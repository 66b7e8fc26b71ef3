"""Send Email: sends an email to one address."""

from hashlib import sha256
from typing import Annotated, Any

from attrs import Attribute, field, frozen

from workbell.domain.constraints import Constraints
from workbell.domain.jobs.task import Task, TaskContext
from workbell.ports.mail import Email, Mailer

MAX_DELAY = 30 * 24 * 3600
MAX_BODY = 50_000


def _one_line(_: object, attribute: "Attribute[str]", text: str) -> None:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError(f"{attribute.name} must be a single line")


@frozen(kw_only=True)
class SendEmail:
    """Parameters of Send Email."""

    email: Annotated[
        str,
        Constraints(
            max_length=254,
            pattern=r"[^@\s<>,;:\"()\x00-\x20\x7f]+@[^@\s<>,;:\"()\x00-\x20\x7f]+",
            hint="must be an email address",
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


def make_message_id(context: TaskContext) -> str:
    """Return a message id that is the same for all attempts of a job."""
    return f"<{sha256(context.idempotency_key.encode()).hexdigest()[:32]}@workbell>"


@frozen
class EmailSender:
    """Sends emails of jobs."""

    mailer: Mailer

    def run(self, context: TaskContext, parameters: SendEmail) -> dict[str, Any]:
        """
        Send the email; all attempts of a job use the same message id.

        Raises:
            Invalid: The address is not valid.
            Unavailable: The mail server did not accept the email.
        """
        message_id = make_message_id(context)
        # before the effect: an interrupt after it would send the email again
        context.log.info("sending_email", email=parameters.email, message_id=message_id)
        self.mailer.send(
            Email(
                to=parameters.email,
                subject=parameters.subject,
                text=parameters.body,
                message_id=message_id,
            )
        )
        return {"email": parameters.email, "subject": parameters.subject, "message_id": message_id}

    def task(self) -> Task:
        """Return the task; the delay postpones the job, and no worker sleeps."""
        return Task(
            key="email.send",
            name="Send Email",
            description="Sends an email, after an optional delay.",
            parameters=SendEmail,
            body=self.run,
            delay=lambda parameters: float(parameters.delay),
            timeout_seconds=120,
        )
