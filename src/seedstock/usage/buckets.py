"""The arithmetic of a limit per minute: a bucket that fills up.

A bucket of a limit L holds L units and gains L a minute, so that in t minutes at most L + t * L are given. What it lacks
is kept in sixty-millionths of a unit, of which it gains L in a microsecond: whole numbers throughout, and nothing is
lost or won by rounding.

What an answer takes is known when it is made. So tokens are charged afterwards: a request is let in while there is
one left, and what goes beyond is owed, up to `MOST_OWED` times what the bucket holds, which is gained in an hour.
"""

from __future__ import annotations

import msgspec

MINUTE_US = 60_000_000
MOST_OWED = 60


class Rate(msgspec.Struct, frozen=True):
    """A limit, and how many times it may be owed."""

    limit: int
    most_owed: int = 0

    @property
    def most_lack(self) -> int:
        """What a bucket can lack."""
        return (1 + self.most_owed) * self.limit * MINUTE_US


class Bucket(msgspec.Struct, frozen=True):
    """What a bucket lacked at a moment."""

    at_us: int = 0
    lack: int = 0
    """In sixty-millionths of a unit; more than the bucket holds is owed."""


def at(bucket: Bucket, rate: Rate, now_us: int) -> Bucket:
    """The bucket at a later moment. Of a rate that was lowered, nothing is lacked beyond what it allows.

    Servers' clocks differ: to one that is behind by less than a minute, no time has passed. A clock that is further
    behind was set back, and is followed.
    """
    passed_us = max(now_us - bucket.at_us, 0)
    moment_us = now_us if now_us < bucket.at_us - MINUTE_US else max(bucket.at_us, now_us)
    return Bucket(moment_us, max(min(bucket.lack, rate.most_lack) - passed_us * rate.limit, 0))


def left(bucket: Bucket, rate: Rate, now_us: int) -> int:
    """Units that it holds; never negative, never more than its limit."""
    return max(rate.limit * MINUTE_US - at(bucket, rate, now_us).lack, 0) // MINUTE_US


def wait_us(bucket: Bucket, rate: Rate, amount: int, now_us: int) -> int:
    """How long until it holds an amount, which is at most its limit; 0 if it does."""
    now = at(bucket, rate, now_us)
    short = now.lack + (amount - rate.limit) * MINUTE_US
    return -(-short // rate.limit) + now.at_us - now_us if short > 0 else 0


def full_in_us(bucket: Bucket, rate: Rate, now_us: int) -> int:
    """How long until it lacks nothing."""
    return wait_us(bucket, rate, rate.limit, now_us)


def spend(bucket: Bucket, rate: Rate, amount: int, now_us: int) -> Bucket:
    """The bucket without an amount."""
    now = at(bucket, rate, now_us)
    return Bucket(now.at_us, min(now.lack + amount * MINUTE_US, rate.most_lack))
