"""Redis (or Valkey): limits, cached answers and idempotency keys over many machines."""

from windvane.adapters.redis.cache import RedisCache
from windvane.adapters.redis.idempotency import RedisIdempotency
from windvane.adapters.redis.limiter import RedisLimiter
from windvane.adapters.redis.server import BadRedis

__all__ = ["BadRedis", "RedisCache", "RedisIdempotency", "RedisLimiter"]
