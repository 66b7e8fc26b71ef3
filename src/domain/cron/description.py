"""Descriptions of cron expressions in English."""

from workbell.domain.cron.expression import MONTH, SUNDAY, CronExpression, DayPattern, Field, Range

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_MAX_TIMES = 6


def describe(fields: CronExpression) -> str:
    """Return when an expression runs, in English, without a full stop."""
    time, days = _describe_time(fields), _describe_days(fields)
    if not days and time.startswith("at ") and fields.is_fixed_time:
        days = "every day"
    words = ", ".join(filter(None, [time, days, _describe_months(fields.month)]))
    return words[0].upper() + words[1:]


def _describe_time(fields: CronExpression) -> str:
    minute, hour = fields.minute, fields.hour
    if _lists_numbers(minute) and _lists_numbers(hour):
        times = [_format_time(h, m) for h in hour.numbers for m in minute.numbers]
        if len(times) <= _MAX_TIMES:
            return f"at {_join(times)}"
    if len(minute.numbers) == 1:
        return _describe_hourly(minute.numbers[0], hour)
    return _describe_minutes_of_hours(minute, hour)


def _describe_hourly(minute: int, hour: Field) -> str:
    """Describe an expression that runs once in each matching hour."""
    if hour.is_any:
        return "every hour" if minute == 0 else f"every hour, at minute {minute}"
    if _lists_numbers(hour):
        return f"at {_join([_format_time(number, minute) for number in hour.numbers])}"
    return _join([_describe_hour_range(minute, each) for each in hour.ranges])


def _describe_hour_range(minute: int, each: Range) -> str:
    if len(each.numbers) == 1:
        return f"at {_format_time(each.first, minute)}"
    every = "every hour" if each.step == 1 else f"every {each.step} hours"
    if each.is_starred and 24 % each.step == 0:
        return every if minute == 0 else f"{every}, at minute {minute}"
    return f"{every} from {_format_time(each.first, minute)} to {_format_time(each.numbers[-1], minute)}"


def _describe_minutes_of_hours(minute: Field, hour: Field) -> str:
    """Describe an expression that runs more than once an hour."""
    minutes = _describe_minutes(minute)
    if hour.is_any:
        return (
            minutes
            if minute.is_wildcard_like and len(minute.items) == 1
            else f"{minutes} of every hour"
        )
    if len(hour.ranges) == 1 and hour.ranges[0].step == 1:
        each = hour.ranges[0]
        return f"{minutes}, between {_format_time(each.first, 0)} and {_format_time(each.last, 59)}"
    return f"{minutes}, in the hours {_join([f'{number:02}' for number in hour.numbers])}"


def _describe_minutes(minute: Field) -> str:
    if _lists_numbers(minute):
        return f"at minutes {_join([str(number) for number in minute.numbers])}"
    return _join([_describe_minute_range(each) for each in minute.ranges])


def _describe_minute_range(each: Range) -> str:
    if len(each.numbers) == 1:
        return f"at minute {each.first}"
    every = "every minute" if each.step == 1 else f"every {each.step} minutes"
    if not each.is_starred:
        return f"{every} from minute {each.first} to {each.numbers[-1]}"
    return every if 60 % each.step == 0 else f"{every}, counted from each full hour"


def _describe_days(fields: CronExpression) -> str:
    day = "" if fields.day.is_any else _describe_day(fields.day)
    weekday = "" if fields.weekday.is_any else _describe_weekday(fields.weekday)
    if not (day and weekday):
        return day or weekday
    return f"{day} or {weekday}" if fields.matches_either_day else f"{day} if it is also {weekday}"


def _describe_day(field: Field) -> str:
    if _lists_numbers(field) and not field.day_patterns:
        days = "day" if len(field.numbers) == 1 else "days"
        return f"on {days} {_join([str(number) for number in field.numbers])} of the month"
    return f"on {_join([_describe_day_item(item) for item in field.items])} of the month"


def _describe_day_item(item: Range | DayPattern) -> str:
    if isinstance(item, DayPattern):
        if item.sign == "W":
            return f"the weekday (Monday to Friday) nearest to day {item.number}"
        return "the last day"
    if len(item.numbers) == 1:
        return f"day {item.first}"
    if item.step == 1:
        return f"days {item.first} to {item.last}"
    return f"every {_ordinal(item.step)} day from day {item.first} to {item.numbers[-1]}"


def _describe_weekday(field: Field) -> str:
    if field.day_patterns:
        return f"on {_join([_describe_day_pattern(pattern) for pattern in field.day_patterns])} of the month"
    return _join([_describe_weekday_range(each) for each in field.ranges])


def _describe_day_pattern(pattern: DayPattern) -> str:
    name = _WEEKDAYS[pattern.number or 0]
    return (
        f"the last {name}"
        if pattern.occurrence is None
        else f"the {_ORDINALS[pattern.occurrence - 1]} {name}"
    )


def _describe_weekday_range(each: Range) -> str:
    names = [_WEEKDAYS[number % SUNDAY] for number in each.numbers]
    if each.step == 1 and len(names) > 2:
        return f"{names[0]} to {names[-1]}"
    return _join(names)


def _describe_months(field: Field) -> str:
    if field.is_any:
        return ""
    months = []
    for each in field.ranges:
        names = [_MONTHS[number - MONTH.low] for number in each.numbers]
        if each.step == 1 and len(names) > 2:
            months.append(f"{names[0]} to {names[-1]}")
        else:
            months += names
    return f"in {_join(months)}"


def _lists_numbers(field: Field) -> bool:
    """Whether a field consists of single numbers."""
    return all(len(each.numbers) == 1 for each in field.ranges)


def _format_time(hour: int, minute: int) -> str:
    return f"{hour:02}:{minute:02}"


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number in (11, 12, 13) else ending}"


def _join(parts: list[str]) -> str:
    """Join with commas, and "and" before the last."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
