"""Writes what the newest Celery makes of crontabs and of the sun: one JSON array a line, into the folder `schedule`.

Run by capture.sh. `fields`: a field, its text, and the numbers that it stands for, a bit each, or null where it is refused.
`crontab`: a zone, a crontab, a second since 1970, and the times that follow, each in minutes after the one before (the
first after the minute of that second), up to one that is earlier; null where the crontab is refused. `solar`: an event, latitude, longitude, a
second since 1970, and the seconds from each event to the next; null where there is none within a year.
"""

import datetime
import json
import pathlib
import random
import zoneinfo

# The zones of the package `tzdata`, whatever the machine has.
zoneinfo.reset_tzpath(to=[])

import ephem
from celery import Celery
from celery.schedules import ParseException, crontab, crontab_parser, solar

UTC = datetime.timezone.utc
APP = Celery(set_as_current=True)
APP.conf.timezone = "UTC"
FIELDS = {"minute": (60, 0), "hour": (24, 0), "day_of_month": (31, 1), "month_of_year": (12, 1), "day_of_week": (7, 0)}
RANDOM = random.Random(6)

TEXTS = """
* */1 */2 */7 */15 */40 */60 */100 */0 */ */-2 */x */mon */1_0 *5 ** /5 5 05 59 60 0 7 12 13 23 24 31 32 -1 +5 1_0 1__0 _1
1-5 5-1 1-1 0-0 0-59 22-2 50-10 1-12 1-31 0-6 fri-mon mon-fri sun-sat sat-sun nov-feb jan-dec 1- -5 1--5 1-5-7 1-5/ 1-5/0
1-5/1 1-5/2 1-9/4 5-1/2 22-2/2 nov-feb/2 fri-mon/2 1-5/9 1-5/x 1-5/mon 1-5/2/3 1-5/2-7 */5-3 5/15 mon/2 mon#2 mon- 5L L 15W
? @daily @hourly mon tue wed thu fri sat sun Mon MON monday Monday monkey jan feb mar apr may jun jul aug sep oct nov dec JAN
january mayor mo m x foo 1.5 1e1 0x1 , 1, ,1 1,,2 1,2 1,2,3 2,1 1,1 mon,wed,fri 1,mon 0,30 0,15,30,45 1-5,10-12 1-5/2,*/4
8,13,18 1-7,15-21 2-30/2 1,13,30-45,50-59/2 0,8-17/2 100 99999999999999999999 1-99 99-1 0-5 1-0 mon-5 1-fri jan-6 dec-1 3-mar
""".split() + ["", " ", " 5", "5 ", "0, 30", "mon, fri", "1-5 ", " 1-5", "1 - 5", "* ", " *", "1 2", "\u0663", "\uff15", "1-\u0663"]

CRONTABS = [
    "* * * * *", "*/30 * * * *", "*/7 * * * *", "0 * * * *", "30 * * * *", "5,35 * * * *", "*/15 0-5 * * *", "*/20 1-3 * * *",
    "0 2 * * *", "30 2 * * *", "0,30 2 * * *", "59 1 * * *", "0 3 * * *", "30 1 * * *", "0 1 * * *", "0 0 * * *", "30 0 * * *",
    "45 23 * * *", "0 0 1 * *", "0 0 31 * *", "0 0 29 2 *", "30 2 29 2 *", "0 12 29 2 mon", "0 12 29 2 */3", "0 0 13 * fri",
    "0 9 1-7 * mon", "0 9 */2 * */2", "30 2 * 3,10,11 sun", "0 4 * * sun", "15 10 * * 1-5", "0 22-2 * * *", "*/10 22-2 * * fri-mon",
    "0 0 * nov-feb *", "0 0 30 */2 *", "59 23 31 12 *", "0 0 1 1 *", "0 */6 * * *", "0 1-5/2 * * *", "0,59 */23 28-31 * *",
    "15,45 2 * * 0", "30 2,3 * * *", "*/5 2 * * *", "0 2-3 * * *", "0 0 30 feb-apr *", "0 0 31 jun-aug mon,fri",
]
REFUSED = ["0 0 30 2 *", "0 0 31 2,4 *", "0 0 31 4,6,9,11 *", "0 0 30-31 2 mon", "0 0 31 feb *"]

ZONES = [
    "UTC", "Europe/Berlin", "Europe/Dublin", "America/New_York", "America/St_Johns", "America/Santiago", "America/Havana",
    "America/Sao_Paulo", "Africa/Cairo", "Asia/Beirut", "Asia/Kolkata", "Australia/Lord_Howe", "Australia/Sydney",
    "Pacific/Chatham", "Antarctica/Troll",
]


def refused(call):
    """Whether it is refused; all else is a fault of this script."""
    try:
        return False, call()
    except (ParseException, ValueError):
        return True, None


def field_texts():
    yield from TEXTS
    words = [str(number) for number in range(0, 62)] + ["mon", "sun", "sat", "jan", "dec", "mar"]
    for _ in range(400):
        parts = []
        for _ in range(RANDOM.choice([1, 1, 2, 3])):
            form = RANDOM.choice(["{a}", "{a}-{b}", "{a}-{b}/{n}", "*/{n}", "{a}-{b}/{n}", "{a}/{n}"])
            parts.append(form.format(a=RANDOM.choice(words), b=RANDOM.choice(words), n=RANDOM.randint(0, 20)))
        yield ",".join(parts)


def fields():
    for text in field_texts():
        for field, (size, least) in FIELDS.items():
            no, numbers = refused(lambda: crontab_parser(size, least).parse(text))
            yield [field, text, None if no else sum(1 << number for number in numbers)]


def random_crontab():
    def some(size, least, stars):
        if RANDOM.random() < stars:
            return "*"
        a, b = sorted(RANDOM.sample(range(least, least + size), 2))
        return RANDOM.choice([f"{a}", f"{a},{b}", f"{a}-{b}", f"{b}-{a}", f"*/{RANDOM.randint(2, max(size // 2, 2))}", f"{a}-{b}/3"])

    while True:
        text = " ".join([some(60, 0, 0.1), some(24, 0, 0.3), some(31, 1, 0.6), some(12, 1, 0.6), some(7, 0, 0.6)])
        if not refused(lambda: crontab.from_string(text))[0]:
            return text


def changes(zone, year):
    """The seconds at which the zone's clocks are set in a year."""
    second = int(datetime.datetime(year, 1, 1, tzinfo=UTC).timestamp())
    end = int(datetime.datetime(year + 1, 1, 1, tzinfo=UTC).timestamp())
    offset = lambda at: datetime.datetime.fromtimestamp(at, zone).utcoffset()
    while second < end:
        if offset(second) != offset(second + 86400):
            low, high = second, second + 86400
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
            yield high
        second += 86400


def chain(text, zone, second, length):
    """The times that follow, as a beat would see them that is told of each."""
    now = datetime.datetime.fromtimestamp(second, zone)
    schedule = crontab.from_string(text)
    schedule.__dict__["tz"] = zone
    schedule.nowfun = lambda: now
    before, times = second // 60, []
    for _ in range(length):
        now = (now.astimezone(UTC) + schedule.remaining_estimate(now)).astimezone(zone)
        minute, rest = divmod(int(now.timestamp()), 60)
        assert rest == 0, (text, zone, second)
        times.append(minute - before)
        # In the second pass of an hour that comes again, Celery takes the first: its next time has passed.
        if now.timestamp() <= before * 60:
            break
        before = minute
    return times


def crontabs():
    for text in REFUSED:
        assert refused(lambda: crontab.from_string(text))[0]
        yield ["UTC", text, 0, None]
    for name in ZONES:
        zone = zoneinfo.ZoneInfo(name)
        around = [*changes(zone, 2024), *changes(zone, 2027)]
        starts = [change - before for change in around for before in (26 * 3600 + 17, 3600, 1)]
        starts += [change + 1800 for change in around]
        starts += [RANDOM.randrange(1_700_000_000, 2_000_000_000) for _ in range(3)]
        # Before a leap day, and before a century that has none.
        starts += [int(datetime.datetime(*day, 11, 58, 31, tzinfo=UTC).timestamp()) for day in ((2028, 2, 27), (2096, 2, 29))]
        for text in CRONTABS:
            for start in RANDOM.sample(starts, 4):
                yield [name, text, start, chain(text, zone, start, 6)]
        for _ in range(40):
            text, start = random_crontab(), RANDOM.choice(starts)
            yield [name, text, start, chain(text, zone, start, 6)]


def suns():
    places = [(52.5, 13.4), (40.7, -74.0), (-33.9, 151.2), (0.0, 0.0), (1.3, 103.8), (-54.8, -68.3), (64.1, -21.9)]
    places += [(69.6, 18.9), (78.2, 15.6), (-77.8, 166.7), (59.3, 18.1), (35.7, 139.7), (21.3, -157.8), (-18.1, 178.4), (-17.5, -149.6)]
    starts = [int(datetime.datetime(2026, month, 2 * month + 1, 7, 11, tzinfo=UTC).timestamp()) for month in (1, 3, 4, 6, 9, 11, 12)]
    for event in ["dawn_astronomical", "dawn_nautical", "dawn_civil", "sunrise", "solar_noon", "sunset",
                  "dusk_civil", "dusk_nautical", "dusk_astronomical"]:
        for latitude, longitude in places:
            for start in starts:
                yield [event, latitude, longitude, start, sun(event, latitude, longitude, start)]


def sun(event, latitude, longitude, second):
    now = datetime.datetime.fromtimestamp(second, UTC)
    schedule = solar(event, latitude, longitude, nowfun=lambda: now, app=APP)
    before, times = second, []
    for _ in range(2):
        now = now + schedule.remaining_estimate(now)
        at = round(now.timestamp())
        if at - second > 360 * 86400:
            return None
        times.append(at - before)
        before = at
        # Celery's own search may find the same event again in the second in which it is.
        now = now + datetime.timedelta(minutes=2)
    return times


def main():
    folder = pathlib.Path(__file__).parent / "schedule"
    for name, lines in {"fields": fields, "crontab": crontabs, "solar": suns}.items():
        # All of it first, so that a run that fails leaves the old capture.
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines())
        (folder / f"{name}.jsonl").write_text(text)


if __name__ == "__main__":
    main()
