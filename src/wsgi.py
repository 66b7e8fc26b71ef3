"""WSGI entry point for gunicorn, uWSGI, mod_wsgi and others: `workbell.wsgi:application`."""

from workbell.entrypoints.processes.wsgi import LazyApplication

application = LazyApplication()
