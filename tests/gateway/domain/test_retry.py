import math
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vouchpost_gateway.domain.retry import (
    DEFAULT_SCHEDULE_S,
    MAX_AGE_S,
    next_attempt_ms,
    next_check_delay_s,
    next_delay_s,
    parse_retry_after,
    should_disable,
    slow_down_s,
)

NOW_S = 1795341600.0
NOW_MS = 1795341600000
HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS
DAY_S = 86400.0

draws = st.floats(min_value=0, max_value=1, exclude_max=True)
floors = st.none() | st.floats(allow_nan=False, min_value=-1e12, max_value=1e12)
schedules = st.lists(st.floats(min_value=0, max_value=1e6), max_size=12).map(tuple)


class TestSchedule:
    def test_the_default_is_the_example_of_standard_webhooks(self) -> None:
        """0, 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h: 75 h 35 m 5 s."""
        assert len(DEFAULT_SCHEDULE_S) == 10
        assert sum(DEFAULT_SCHEDULE_S) == 75 * 3600 + 35 * 60 + 5

    @pytest.mark.parametrize(
        ("attempts_made", "lowest", "highest"),
        [(0, 0, 0), (1, 4, 6), (2, 240, 360), (3, 1440, 2160), (9, 69120, 103680)],
    )
    def test_each_delay_is_jittered_by_a_fifth_either_way(
        self, attempts_made: int, lowest: float, highest: float
    ) -> None:
        ends = [
            next_delay_s(schedule=DEFAULT_SCHEDULE_S, attempts_made=attempts_made, retry_after_s=None, random=random)
            for random in (0.0, math.nextafter(1.0, 0.0))
        ]

        assert ends == pytest.approx([lowest, highest])

    def test_after_the_last_attempt_there_is_no_next_one(self) -> None:
        assert next_delay_s(schedule=DEFAULT_SCHEDULE_S, attempts_made=10, retry_after_s=5, random=0.5) is None

    @given(schedule=schedules, attempts_made=st.integers(0, 14), retry_after_s=floors, random=draws)
    def test_retry_after_only_ever_lengthens_and_never_past_a_day(
        self, schedule: tuple[float, ...], attempts_made: int, retry_after_s: float | None, random: float
    ) -> None:
        plain = next_delay_s(schedule=schedule, attempts_made=attempts_made, retry_after_s=None, random=random)
        asked = next_delay_s(schedule=schedule, attempts_made=attempts_made, retry_after_s=retry_after_s, random=random)

        if attempts_made >= len(schedule):
            assert plain is None
            assert asked is None
            return
        assert plain is not None
        assert asked is not None
        assert schedule[attempts_made] * 0.8 <= plain <= schedule[attempts_made] * 1.2 * (1 + 1e-9)
        assert asked == max(plain, min(retry_after_s or 0, DAY_S))


class TestAge:
    def due(self, *, created_ms: int, attempts_made: int = 9, retry_after_s: float | None = None) -> int | None:
        return next_attempt_ms(
            schedule=DEFAULT_SCHEDULE_S,
            attempts_made=attempts_made,
            retry_after_s=retry_after_s,
            random=0.999,
            created_ms=created_ms,
            now_ms=NOW_MS,
        )

    def test_within_the_age_limit_the_schedule_decides(self) -> None:
        assert self.due(created_ms=NOW_MS, attempts_made=1) == pytest.approx(NOW_MS + 6000, abs=5)

    def test_an_attempt_that_jitter_would_put_past_the_limit_is_brought_forward_to_it(self) -> None:
        created_ms = NOW_MS - 52 * HOUR_MS

        assert self.due(created_ms=created_ms) == created_ms + 76 * HOUR_MS

    def test_an_attempt_that_the_subscriber_wants_past_the_limit_is_not_made(self) -> None:
        assert self.due(created_ms=NOW_MS - 75 * HOUR_MS, retry_after_s=2 * 3600.0) is None

    def test_past_the_limit_there_is_no_next_attempt(self) -> None:
        assert self.due(created_ms=NOW_MS - 76 * HOUR_MS, attempts_made=1) is None

    @given(
        schedule=schedules,
        attempts_made=st.integers(0, 14),
        retry_after_s=floors,
        random=draws,
        age_ms=st.integers(0, 100 * HOUR_MS),
    )
    def test_no_attempt_is_due_in_the_past_or_past_the_limit_or_before_retry_after(
        self, schedule: tuple[float, ...], attempts_made: int, retry_after_s: float | None, random: float, age_ms: int
    ) -> None:
        due = next_attempt_ms(
            schedule=schedule,
            attempts_made=attempts_made,
            retry_after_s=retry_after_s,
            random=random,
            created_ms=NOW_MS - age_ms,
            now_ms=NOW_MS,
        )

        if due is not None:
            assert NOW_MS <= due <= NOW_MS - age_ms + MAX_AGE_S * 1000
            assert due >= NOW_MS + min(retry_after_s or 0, DAY_S) * 1000 - 1


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("0", 0.0),
            ("2", 2.0),
            ("  120\t", 120.0),
            ("86400", DAY_S),
            ("86401", DAY_S),
            ("999999999", DAY_S),
            ("9" * 64, DAY_S),
            (formatdate(NOW_S + 90, usegmt=True), 90.0),
            (formatdate(NOW_S - 90, usegmt=True), 0.0),
            ("Fri, 31 Dec 9999 23:59:59 GMT", DAY_S),
        ],
    )
    def test_seconds_and_dates_are_read_and_clamped(self, text: str, seconds: float) -> None:
        assert parse_retry_after(text, now_s=NOW_S) == seconds

    @pytest.mark.parametrize(
        "text",
        [None, "", " ", "-1", "+1", "1.5", "1e9", "0x10", "soon", "٣", "1_0", "inf", "nan", "5, 6", "9" * 65, "1\n"],
    )
    def test_anything_else_changes_nothing(self, text: str | None) -> None:
        assert parse_retry_after(text, now_s=NOW_S) is None

    @given(st.text(max_size=80))
    def test_no_text_makes_it_raise_or_leave_the_range(self, text: str) -> None:
        seconds = parse_retry_after(text, now_s=NOW_S)

        assert seconds is None or 0 <= seconds <= DAY_S


class TestSlowDown:
    def test_the_rest_doubles_with_every_answer_in_a_row_up_to_five_minutes(self) -> None:
        rests = [slow_down_s(consecutive=n, retry_after_s=None, random=0.5) for n in (1, 2, 3, 4, 9, 10, 10**9)]

        assert rests == pytest.approx([1, 2, 4, 8, 256, 300, 300])

    @pytest.mark.parametrize(
        ("retry_after_s", "rest"), [(0.5, 1), (7, 7), (1e9, DAY_S)], ids=["shorter", "longer", "far too long"]
    )
    def test_retry_after_is_its_floor_too(self, retry_after_s: float, rest: float) -> None:
        assert slow_down_s(consecutive=1, retry_after_s=retry_after_s, random=0.5) == pytest.approx(rest)

    @given(consecutive=st.integers(), retry_after_s=floors, random=draws)
    def test_it_is_always_a_positive_time_of_at_most_a_day(
        self, consecutive: int, retry_after_s: float | None, random: float
    ) -> None:
        assert 0.8 <= slow_down_s(consecutive=consecutive, retry_after_s=retry_after_s, random=random) <= DAY_S


class TestDisabling:
    @pytest.mark.parametrize(
        ("failing_since_ms", "failures", "disabled"),
        [
            pytest.param(NOW_MS - 5 * DAY_MS, 10, True, id="five days and ten failures"),
            pytest.param(NOW_MS - 5 * DAY_MS + 1, 10, False, id="a moment less than five days"),
            pytest.param(NOW_MS - 5 * DAY_MS, 9, False, id="nine failures"),
            pytest.param(None, 1000, False, id="the last attempt was a success"),
            pytest.param(NOW_MS + DAY_MS, 1000, False, id="a clock that went back"),
        ],
    )
    def test_only_failures_for_five_days_over_ten_attempts_disable(
        self, *, failing_since_ms: int | None, failures: int, disabled: bool
    ) -> None:
        assert should_disable(failing_since_ms=failing_since_ms, failures=failures, now_ms=NOW_MS) is disabled


class TestChecks:
    def delay(
        self, *, checks_made: int, since_first_s: int = 0, retry_after_s: float | None = None, random: float = 0.5
    ) -> float | None:
        return next_check_delay_s(
            checks_made=checks_made,
            first_check_ms=NOW_MS - since_first_s * 1000,
            now_ms=NOW_MS,
            retry_after_s=retry_after_s,
            random=random,
        )

    def test_the_spread_doubles_and_starts_at_nothing(self) -> None:
        assert [self.delay(checks_made=n, random=0.999999) for n in (1, 2, 3)] == pytest.approx([20, 40, 80], rel=1e-3)
        assert [self.delay(checks_made=n, random=0.0) for n in (1, 2, 3)] == [0, 0, 0]

    def test_there_are_four_checks_and_no_fifth(self) -> None:
        assert self.delay(checks_made=3) is not None
        assert self.delay(checks_made=4) is None

    def test_retry_after_is_a_floor(self) -> None:
        assert self.delay(checks_made=1, retry_after_s=310) == 310

    @pytest.mark.parametrize(
        ("since_first_s", "retry_after_s", "delay"),
        [(590, 310.0, 310), (591, 310.0, None), (0, 900.0, 900), (0, 901.0, None), (901, None, None)],
    )
    def test_no_check_starts_after_the_window(
        self, since_first_s: int, retry_after_s: float | None, delay: float | None
    ) -> None:
        assert self.delay(checks_made=1, since_first_s=since_first_s, retry_after_s=retry_after_s) == delay

    @given(checks_made=st.integers(1, 10), since_first_s=st.integers(0, 2000), retry_after_s=floors, random=draws)
    def test_all_checks_fall_within_the_window(
        self, checks_made: int, since_first_s: int, retry_after_s: float | None, random: float
    ) -> None:
        delay = self.delay(
            checks_made=checks_made, since_first_s=since_first_s, retry_after_s=retry_after_s, random=random
        )

        if delay is not None:
            assert checks_made < 4
            assert 0 <= delay <= 900 - since_first_s
