"""WSGI entry point for other servers: `workbell.wsgi:application`."""

from workbell.entrypoints.processes.wsgi import LazyApplication

application = LazyApplication()
