"""Redis (or Valkey): limits and cached answers over many machines."""

from windvane.adapters.redis.cache import RedisCache
from windvane.adapters.redis.limiter import RedisLimiter
from windvane.adapters.redis.server import BadRedis

__all__ = ["BadRedis", "RedisCache", "RedisLimiter"]
