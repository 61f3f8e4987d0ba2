"""Writes how Python and the newest Celery print values: one JSON object a line, to standard output.

Run by capture.sh. `json` is a value as Celery's serializer writes it, `python` its `repr` up to the length that we
print, `safe` its `saferepr`, and `tuple` the `saferepr` of an array as positional arguments.
"""

import datetime
import decimal
import json
import uuid

from celery.utils.saferepr import saferepr
from kombu.utils.json import dumps, loads

LENGTH = 1024
UTC = datetime.timezone.utc


def zone(**offset):
    return datetime.timezone(datetime.timedelta(**offset))


DAY = datetime.datetime(2026, 11, 21, 10, 24)
VALUES = [
    None, True, False, 0, -1, 10**30, -(10**30),
    0.0, -0.0, 1.0, 1.5, 0.1, 1e-4, 1e-5, 1.25e-7, 123456789012345.6, 1e15, 1e16, 1.5e16, 1e22, 1e100, 5e-324,
    1.7976931348623157e308, float("nan"), float("inf"), float("-inf"),
    "", "a", "it's", 'say "a"', "it's \"a\"", "back\\slash", "\n\r\t\b\f\0\x1b\x7f", "é☃🦀", "\x80\xa0\xad\xff",
    "\u0300 e\u0301", "\u200b\u2028\u3000\ue000\uffff", "\U000e0001\U0010ffff", "\ud800", "a\udc00\ud83e", "/",
    [], [1], [1, 2], [None, True], [[]], [[[]]], [[[[]]]], [[[[1]]]], [[[{"a": 1}]]], {}, {"a": {}}, {"a": 1},
    {"a": {"b": {"c": {"d": 1}}}}, {"a": [1, {"b": "it's"}], "": None, "é": 1, "it's": 2}, {"1": "2", "true": True},
    b"", b"bytes", b"it's", b"it's \"a\"", b"\xff\x00\n'", "é".encode(), b"\x1b\\",
    uuid.UUID("c5b9186d-4713-4106-be7c-f65373b37529"), decimal.Decimal("1.50"), decimal.Decimal("-1E+30"),
    decimal.Decimal("NaN"), decimal.Decimal("Infinity"),
    DAY, DAY.replace(second=5), DAY.replace(microsecond=5), DAY.replace(tzinfo=UTC), DAY.replace(tzinfo=zone(hours=2)),
    DAY.replace(tzinfo=zone(hours=-3, minutes=-30)), DAY.replace(second=57, microsecond=488856, tzinfo=UTC),
    DAY.date(), DAY.time(), DAY.replace(second=1, microsecond=20).time(), DAY.time().replace(tzinfo=UTC),
    {"a": [DAY, b"x", decimal.Decimal(1)]}, {"__typ__": 1}, {"__type__": "uuid"}, {"__type__": 1, "__value__": 2, "c": 3},
    # Too long, in every place.
    "a" * 1023, "a" * 1024, "a" * 1025, "a" * 3000, "word " * 400, "it's " * 400, "é" * 1024, "🦀" * 2000,
    [1] * 2000, ["a" * 1500], ["a" * 1500, 1], [1, "a" * 1500], [[["a" * 1500]]], [[["a" * 1500, 2], 3], 4],
    ["a" * 1021], ["a" * 1020, 1], ["a" * 1019, 1], ["a" * 1018, [1]], ["a" * 1017, [1], 2], [["a" * 1016], [1], 2],
    ["a" * 1015, [[1]], {"a": 1}], ["a" * 1010, {"key": "value", "b": 2}], ["a" * 1014, {"key": "value"}],
    ["a" * 1018, 123456789], ["a" * 1014, [[[[1]]]]], ["a" * 1013, [[[[1]]]], 5], {"a" * 1500: 1}, {"a" * 1020: 1, "b": 2},
    {"a": "b" * 1500, "c": 1}, {"a": ["b" * 1500, 1], "c": 1}, {str(i): i for i in range(500)}, [{"k": i} for i in range(500)],
    b"a" * 1024, b"a" * 1025, b"\xff" * 2000, [b"a" * 2000, 1], ["a" * 1010, DAY], ["a" * 1010, True, None, 1.5],
]
# What no client of Celery writes, but another might.
TEXTS = ['{"a": 1,"b":[ 1 ,2 ]}', " [ ] ", "1E5", "1e999", "-0", "1.0e-0", '"\\/\\u0041"', '{"__value__": "x", "__type__": "bytes"}']


def main():
    for text in [*map(dumps, VALUES), *TEXTS]:
        value = loads(text)
        line = {"json": text, "python": repr(value), "safe": saferepr(value, LENGTH)}
        if len(line["python"]) > LENGTH:
            del line["python"]
        if isinstance(value, list):
            line["tuple"] = saferepr(tuple(value), LENGTH)
        print(json.dumps(line))


if __name__ == "__main__":
    main()
