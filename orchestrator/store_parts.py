"""The store and what belongs to it, put together from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orchestrator.ports import Store
from orchestrator.settings import Settings, SettingsError
from orchestrator.stores.blobs_folder import FolderBlobs
from orchestrator.stores.embedded import EmbeddedError, EmbeddedRedis, start_embedded
from orchestrator.stores.limits import StoreLimits
from orchestrator.telemetry.metrics import Metrics
from replwire.errors import WireError

REFUSED: Final = "refused"
"""How a store that does not take our password says so in the `cause` of its error."""


class StartError(Exception):
    """The server can't start; the message says why and what helps."""


@dataclass(frozen=True, slots=True)
class StoreParts:
    """A store, and what else has to be closed with it."""

    store: Store
    private: EmbeddedRedis | None
    """The Redis that is ours to end."""
    blobs: FolderBlobs | None


async def build_store(settings: Settings, metrics: Metrics) -> StoreParts:
    """The one that is set; raises `StartError` or `SettingsError`."""
    blobs = _blobs_of(settings)
    private, url = None, settings.redis.url
    if url is not None:
        address = url.get_secret_value()
    else:
        try:
            private = await start_embedded(settings.state_folder / "redis")
        except EmbeddedError as error:
            raise StartError(str(error)) from None
        address = private.url
    return StoreParts(_store_at(address, settings, metrics, blobs), private, blobs)


def _blobs_of(settings: Settings) -> FolderBlobs | None:
    if settings.blobs.folder is None:
        return None
    blobs = FolderBlobs(settings.blobs.folder)
    try:
        blobs.prepare()
    except OSError as error:
        raise StartError(f"blobs.folder: {error.filename}: {error.strerror}: choose another folder") from None
    return blobs


async def look_at_store(store: Store) -> None:
    """One that is away may come; one that refuses us is a mistake of ours."""
    try:
        await store.facts()
    except WireError as error:
        if error.details.get("cause") != REFUSED:
            return
        await store.close()
        raise StartError(
            "the Redis refuses us: look at the user and password in --redis-url, BASCULE_REDIS__PASSWORD "
            "or BASCULE_REDIS__PASSWORD_FILE"
        ) from None


def _store_at(address: str, settings: Settings, metrics: Metrics, blobs: FolderBlobs | None) -> Store:
    from orchestrator.stores.redis import RedisStore

    redis = settings.redis
    limits = StoreLimits(
        ids_kept=settings.all_limits()["ids_kept_max"],
        states_kept=redis.states_kept,
        pins_max=redis.pins_max,
        lineage_max=redis.lineage_max,
    )
    try:
        return RedisStore(
            address,
            password=redis.password.get_secret_value() if redis.password else None,
            limits=limits,
            on_batch=metrics.commit_batch.observe,
            blobs=blobs,
            object_bytes_min=settings.blobs.min_bytes,
        )
    except ValueError as error:
        raise SettingsError(f"redis.url: {error}") from None
