"""Dependencies of the HTTP application."""

from importlib.metadata import version

from workbell.adapters.dramatiq.runtime import Runtime
from workbell.adapters.http.app import AppDependencies
from workbell.adapters.http.web.middleware import HttpSettings
from workbell.entrypoints.bootstrap.application import House
from workbell.entrypoints.bootstrap.build import FIELDS


def make_app_dependencies(house: House, runtime: Runtime | None = None) -> AppDependencies:
    """Return what the HTTP application needs; a runtime adds its health and metrics."""
    settings = house.settings
    return AppDependencies(
        identity=house.identity,
        signing_in=house.signing_in,
        scheduling=house.scheduling,
        jobs=house.jobs,
        definitions=house.definitions,
        goals=house.goals,
        summaries=house.summaries,
        reminding=house.reminding,
        serializer=FIELDS,
        ids=house.ids,
        database=house.store,
        cache=house.check_cache,
        outdated=house.outdated,
        ailments=tuple if runtime is None else runtime.ailments,
        measures=lambda: (house.cache.measure(), *(runtime.measures() if runtime else ())),
        throttling=house.throttling,
        settings=HttpSettings(
            public_url=settings.public_url,
            allowed_hosts=settings.allowed_hosts,
            trusted_proxies=settings.trusted_proxies,
            cors_origins=settings.cors_origins,
            hsts_seconds=settings.hsts_seconds,
            force_https=settings.force_https,
            require_verified_email=str(settings.require_verified_email),
            metrics_token=settings.metrics_token,
            version=version("workbell"),
        ),
    )
