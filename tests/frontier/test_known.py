from __future__ import annotations

from crawler.frontier import Known


def key(n: int) -> bytes:
    return n.to_bytes(16, "big")


def test_a_key_passes_once_and_again_when_it_is_nearer() -> None:
    known = Known(100)
    assert not known.passed(key(1), 2)
    assert known.passed(key(1), 2)
    assert known.passed(key(1), 3)
    assert not known.passed(key(1), 1)
    assert known.passed(key(1), 1)


def test_it_never_holds_more_than_its_capacity() -> None:
    known = Known(10)
    for n in range(1000):
        known.passed(key(n), 0)
        assert len(known) <= 10
    assert known.passed(key(999), 0)
    assert not known.passed(key(0), 0)


def test_what_is_met_often_stays() -> None:
    known = Known(10)
    known.passed(key(0), 1)
    for n in range(1, 1000):
        known.passed(key(n), 0)
        assert known.passed(key(0), 1)


def test_an_old_key_met_nearer_is_sent_again_and_its_depth_kept() -> None:
    known = Known(4)
    known.passed(key(1), 5)
    known.passed(key(2), 5)
    assert not known.passed(key(1), 3)
    assert known.passed(key(1), 3)


def test_after_a_refused_settlement_everything_is_sent_again() -> None:
    known = Known(4)
    for n in range(3):
        known.passed(key(n), 0)
    known.forget()
    assert len(known) == 0
    assert not any(known.passed(key(n), 0) for n in range(3))


def test_what_was_met_lately_can_be_read() -> None:
    known = Known(4)
    known.passed(key(1), 5)
    assert known.lately.get(key(1)) == 5
    known.lower(key(1))
    assert known.lately[key(1)] > 5
    known.passed(key(2), 1)
    assert known.passed(key(2), 1)
    assert len(known.lately) <= 2
