"""Two tenants who may not see each other's rows."""

import pytest

from tests.contract.delivery.rows import Tenant
from tests.contract.factories import AnyStore


@pytest.fixture
def tenants(store: AnyStore) -> tuple[Tenant, Tenant]:
    """Return Ann and Ben, each with an account and a destination."""
    return Tenant.create(store, "ann"), Tenant.create(store, "ben")


@pytest.fixture
def ann(tenants: tuple[Tenant, Tenant]) -> Tenant:
    """Return Ann; Ben's rows are there, too."""
    return tenants[0]


@pytest.fixture
def ben(tenants: tuple[Tenant, Tenant]) -> Tenant:
    """Return Ben."""
    return tenants[1]
