"""Which days people work on, and the day that lies so many working days after a moment."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

import attrs

from rml.error import InvalidInputError
from rml.tag import shown

# ISO 8601: Monday is 1.
_SATURDAY, _SUNDAY = 6, 7
# Nobody rests for longer: a calendar in which this many days in a row are free is a mistake.
_FREE_DAYS_MAX: Final = 366


def _weekdays(given: Iterable[int]) -> frozenset[int]:
    return frozenset(given)


@attrs.frozen
class WorkCalendar:
    """The days on which an organisation works.

    Attributes:
        holidays: the days that are free beside the weekend: any container of dates, such as a set,
            or a calendar of the package ``holidays``.
        weekend: the days of the week that are free, as ISO 8601 counts them: Monday is 1.
        zone: where midnight lies.
        hours: from when until when they work on such a day, there.
    """

    holidays: Container[date] = attrs.field(default=frozenset(), repr=False)
    weekend: frozenset[int] = attrs.field(
        default=frozenset({_SATURDAY, _SUNDAY}), converter=_weekdays
    )
    zone: tzinfo = UTC
    hours: tuple[time, time] = (time(9), time(18))

    def __attrs_post_init__(self) -> None:
        if not self.weekend < set(range(1, 8)):
            message = (
                f"weekend is {shown(sorted(self.weekend))}; "
                "name days from 1 (Monday) to 7, and not all"
            )
            raise InvalidInputError(message)

    def is_worked(self, day: date) -> bool:
        """Say whether people work on a day."""
        return day.isoweekday() not in self.weekend and day not in self.holidays

    def is_worked_at(self, moment: datetime) -> bool:
        """Say whether people are at work at a moment."""
        begin, end = self.hours
        local = moment.astimezone(self.zone)
        return self.is_worked(local.date()) and begin <= local.time() < end

    def day_of(self, moment: datetime) -> date:
        """Return the day on which a moment lies where the calendar holds."""
        return moment.astimezone(self.zone).date()

    def after(self, moment: datetime, days: int) -> date:
        """Return the day on which so many working days have passed; the moment's own is not one.

        Raises:
            InvalidInputError: nobody works for more than a year.
        """
        day, free = self.day_of(moment), 0
        while days:
            day += timedelta(days=1)
            worked = self.is_worked(day)
            days, free = days - worked, 0 if worked else free + 1
            if free > _FREE_DAYS_MAX:
                raise InvalidInputError(f"holidays leave no working day before {day}")
        return day


# Monday to Friday, in UTC, without holidays.
WEEKDAYS: Final = WorkCalendar()
# Days such as 2026-12-25, with spaces between, which are free beside the weekend.
HOLIDAYS_VARIABLE: Final = "RML_HOLIDAYS"


def calendar_of_environment() -> WorkCalendar:
    """Return Monday to Friday, without the days that ``RML_HOLIDAYS`` names.

    Raises:
        InvalidInputError: it names something else than days.
    """
    words = os.environ.get(HOLIDAYS_VARIABLE, "").split()
    try:
        return WorkCalendar(frozenset(map(date.fromisoformat, words))) if words else WEEKDAYS
    except ValueError as error:
        message = f"{HOLIDAYS_VARIABLE} names days such as 2026-12-25, with spaces between: {error}"
        raise InvalidInputError(message) from None
