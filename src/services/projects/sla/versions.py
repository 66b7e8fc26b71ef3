"""The pinned versions of policies and calendars that clocks use."""

from collections.abc import Iterable, Mapping
from typing import Final

from attrs import frozen

from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.projects.sla.calendar import BusinessHours
from workbell.domain.projects.sla.clock import DUE_RULES, ClockRules, Pins
from workbell.domain.projects.sla.policy import SlaPolicy, SlaTerms
from workbell.ports.projects.sla import SlaTx, VersionKey

NO_TERMS: Final = SlaTerms()
"""The terms of a project without an active policy: no targets."""


@frozen
class PinnedVersions:
    """Terms and hours by version."""

    _terms: Mapping[VersionKey, SlaTerms]
    _hours: Mapping[VersionKey, BusinessHours]

    @classmethod
    def load(cls, tx: SlaTx, pins: Iterable[Pins]) -> "PinnedVersions":
        """Read the versions that are pinned, each once."""
        keys = list(pins)
        policies = {key for each in keys if (key := _policy_key(each)) is not None}
        calendars = {key for each in keys if (key := _calendar_key(each)) is not None}
        return cls(
            tx.sla_policies.versions(policies) if policies else {},
            tx.sla_calendars.versions(calendars) if calendars else {},
        )

    def terms(self, pins: Pins) -> SlaTerms:
        """Return the terms of a clock's policy; those without targets if it has none."""
        key = _policy_key(pins)
        return NO_TERMS if key is None else self._terms[key]

    def rules(self, pins: Pins) -> ClockRules:
        """Return the rules of a clock."""
        if _policy_key(pins) is None:
            return DUE_RULES
        key = _calendar_key(pins)
        return self.terms(pins).rules(None if key is None else self._hours[key])


def pin_policy(tx: SlaTx, policy: SlaPolicy | None) -> Pins:
    """Return the present versions of a policy and its calendar."""
    if policy is None:
        return Pins()
    if policy.calendar_id is None:
        return Pins(policy_id=policy.id, policy_version=policy.version)
    calendar = tx.sla_calendars.get(ALL_OWNERS, policy.calendar_id)
    return Pins(
        policy_id=policy.id,
        policy_version=policy.version,
        calendar_id=calendar.id,
        calendar_version=calendar.version,
    )


def _policy_key(pins: Pins) -> VersionKey | None:
    if pins.policy_id is None or pins.policy_version is None:
        return None
    return pins.policy_id, pins.policy_version


def _calendar_key(pins: Pins) -> VersionKey | None:
    if pins.calendar_id is None or pins.calendar_version is None:
        return None
    return pins.calendar_id, pins.calendar_version
