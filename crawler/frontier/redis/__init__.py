"""The shared frontier: everything known, in a Redis or Valkey that several workers and machines can reach."""

from __future__ import annotations

from crawler.frontier.redis.address import SCHEMES, Address

__all__ = ["SCHEMES", "Address"]
