"""The store on Redis or Valkey."""

from orchestrator.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
