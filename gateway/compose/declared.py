"""Targets as the settings declare them; without the adapters, which the policy tools do not need."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from gateway.budgets.prices import price_of
from gateway.dialects import openai_chat, openai_embeddings
from gateway.domain.errors import ConfigurationError
from gateway.domain.money import FREE, Price
from gateway.domain.target import Target, Zone
from gateway.settings import Settings, TargetSettings, load_settings


def targets_of(settings_path: Path) -> tuple[Target, ...]:
    """The targets that a settings file declares, for the policy tools. Raises `ConfigurationError`."""
    return declared(load_settings(settings_path, needs_environment=False), measured=False)


def models_of(settings_path: Path) -> dict[str, tuple[Target, ...]]:
    """The targets that may answer, by the name of the model that is asked for. Raises `ConfigurationError`."""
    settings = load_settings(settings_path, needs_environment=False)
    targets = {target.id: target for target in declared(settings, measured=False)}
    return {route.name: tuple(targets[name] for name in route.targets) for route in settings.routes}


def declared(settings: Settings, *, measured: bool = True) -> tuple[Target, ...]:
    """Raises `ConfigurationError` for a cloud target whose price nobody knows, since its cost could not be bounded, and
    for a local one whose speed should have been measured and was not. Without `measured`, that one counts as free: for
    tools that ask for no price, and run where there is no engine."""
    day = datetime.now(UTC).date()
    return tuple(
        Target(
            id=target.id,
            zone=target.zone,
            region=target.region,
            labels=target.labels,
            expiring=target.expiring,
            provider=target.provider,
            model=target.model,
            dialect=openai_embeddings.DIALECT if target.embeddings else openai_chat.DIALECT,
            price=price_of_target(settings, target, day, measured=measured),
            ceiling=_ceiling(target, day),
            max_output_tokens=target.max_output_tokens,
            context_tokens=target.context_tokens,
            first_token=target.first_token,
        )
        for target in settings.targets
    )


def price_of_target(settings: Settings, target: TargetSettings, day: date, *, measured: bool = True) -> Price:
    """What a target costs from `day` (UTC) on. Raises `ConfigurationError` and takes `measured` as `declared` does."""
    if target.price is not None:
        return target.price
    if target.own_price is not None:
        if target.own_price.speeds is None and not measured:
            return FREE
        from gateway.compose.costs import own_cost  # needs the adapters

        return own_cost(settings, target, target.own_price).price
    known = price_of(target.provider, target.model, day, output=not target.embeddings)
    if known is not None:
        return known
    if target.zone is Zone.LOCAL:
        return FREE
    raise ConfigurationError(
        f"{settings.file}: the target {target.id!r} needs a 'price': the price table does not know "
        f"{target.model!r} of {target.provider!r}"
    )


def _ceiling(target: TargetSettings, day: date) -> Price | None:
    """What a caller's own fields (a paid service tier) can make of the table's price. A price in the settings is meant
    as it stands."""
    if target.price is not None or target.own_price is not None:
        return None
    return price_of(target.provider, target.model, day, worst=True, output=not target.embeddings)
