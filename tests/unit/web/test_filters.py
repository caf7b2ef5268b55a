from datetime import UTC, datetime, timedelta

import pytest

from seedstock.web import filters

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1519, "1.48 KiB"),
        (10_240, "10.0 KiB"),
        (1023 * 1024, "1.00 MiB"),
        (269_060_552, "257 MiB"),
        (5 * 1024**4, "5.00 TiB"),
        (10**19, "8882 PiB"),
    ],
)
def test_size(size_bytes, text):
    assert filters.size(size_bytes) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1k"),
        (1234, "1.2k"),
        (48_213, "48k"),
        (999_999, "1M"),
        (1_204_331, "1.2M"),
    ],
)
def test_count(number, text):
    assert filters.count(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "–"),
        (35_136, "35.1K"),
        (134_515_008, "135M"),
        (1_711_376_384, "1.71B"),
        (671_000_000_000, "671B"),
        (999_600_000, "1B"),
    ],
)
def test_parameters(number, text):
    assert filters.parameters(number) == text


@pytest.mark.parametrize(
    ("elapsed", "text"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(seconds=60), "1 minute ago"),
        (timedelta(hours=3), "3 hours ago"),
        (timedelta(days=1), "1 day ago"),
        (timedelta(days=13), "1 week ago"),
        (timedelta(days=29), "4 weeks ago"),
        (timedelta(days=364), "12 months ago"),
        (timedelta(days=800), "2 years ago"),
    ],
)
def test_age(elapsed, text):
    assert filters.age(NOW - elapsed, NOW) == text


def test_time_tag_carries_the_exact_moment():
    tag = filters.time_tag(datetime(2026, 11, 23, 8, 5, tzinfo=UTC), NOW)
    assert tag == '<time datetime="2026-11-23T08:05:00Z" title="23 November 2026, 08:05 UTC">1 day ago</time>'


@pytest.mark.parametrize(
    ("value", "text"), [(100.0, "100%"), (99.97, ">99.9%"), (0.03, "<0.1%"), (0.0, "0%"), (12.345, "12.3%")]
)
def test_percent(value, text):
    assert filters.percent(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (0.21, "0.2 s"), (83.4, "1 min 23 s"), (7300, "2 h 1 min")]
)
def test_duration(seconds, text):
    assert filters.duration(seconds) == text


def test_a_revision_is_one_path_segment():
    assert filters.path_segment("refs/pr/1") == "refs%2Fpr%2F1"
    assert filters.path_quote("a b/ü?#") == "a%20b/%C3%BC%3F%23"
