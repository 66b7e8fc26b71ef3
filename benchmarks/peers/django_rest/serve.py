"""Fill the database, then exec gunicorn with threads."""

import os
import sys

os.environ["DJANGO_SETTINGS_MODULE"] = "project"


def main(port: str) -> None:
    """Create tables, a user and schedules; then serve."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)
    from calls.models import Schedule
    from django.contrib.auth.models import User

    user = User.objects.create_user("someone", password="correct-horse-battery")
    Schedule.objects.bulk_create(
        Schedule(owner=user, name=f"schedule {n}", task="noop", cron_expression="0 9 * * 1-5")
        for n in range(200)
    )
    gunicorn = f"{os.path.dirname(sys.executable)}/gunicorn"  # noqa: PTH120
    size = ["--workers", "1", "--threads", os.environ.get("THREADS", "8")]
    wsgi = "django.core.wsgi:get_wsgi_application()"
    os.execv(gunicorn, [gunicorn, *size, "--bind", f"127.0.0.1:{port}", wsgi])


if __name__ == "__main__":
    main(sys.argv[1])
