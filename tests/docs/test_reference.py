"""docs/reference.md agrees with the code: its sections are current, and its prose holds."""

import inspect
import re
from datetime import timedelta

import pytest

from opswatch.adapters import host_limiter
from opswatch.config import STORAGE, Settings
from opswatch.core import deliveries, hosts, intake, poll_log, webhook
from opswatch.core.texts import MAX_PROPERTY
from opswatch.core.times import parse_duration
from opswatch.core.watches import FinalStatus
from opswatch.rows.messages import POISON_SUFFIX, QUEUES
from opswatch.rows.tables import TABLES
from opswatch.web.parameters import API_VERSION
from opswatch.web.schemas import POST
from tests.docs.markdown import read_table, regenerate, section, section_names
from tests.docs.reference import CONTENTS, PAGE
from tests.support.builders import KEY, accepted

TEXT = PAGE.read_text(encoding="utf-8")
SETTINGS = {row[0].strip("`"): row[-1] for row in read_table(section(TEXT, "settings"))}
# Words in the column of forms that are no values of the setting.
NO_VALUES = {"http", "https", "result", "Lost", "TimedOut"}


@pytest.mark.parametrize("name", CONTENTS)
def test_section_is_current(name: str) -> None:
    content = CONTENTS[name]
    current = regenerate(TEXT, {each: lambda: "" for each in CONTENTS} | {name: content})
    assert section(TEXT, name) == section(current, name), "run `make reference`"


def test_page_has_every_section_once() -> None:
    assert sorted(section_names(TEXT)) == sorted(CONTENTS)


@pytest.mark.parametrize("name", CONTENTS)
def test_every_row_has_prose(name: str) -> None:
    rows = read_table(section(TEXT, name))
    assert [row[0] for row in rows if not row[-1]] == []


def test_examples_of_forms_name_one_operation() -> None:
    forms = read_table(TEXT.partition("### Forms")[2].partition("### Properties")[0])
    examples = [example.strip("`") for _, example, _ in forms]
    assert len(examples) == 6
    assert {accepted(example).operation.key for example in examples} == {KEY}


def test_properties_are_those_that_posts_have() -> None:
    source = inspect.getsource(intake)
    read = set(re.findall(r'(?:posted\.get\(|\(posted, )"(\w+)"', source))
    (alternatives,) = re.findall(r"for name in \((.*)\):", source)
    assert read | set(re.findall(r'"(\w+)"', alternatives)) == {*POST["properties"]}


def test_callback_on_lists_the_ends() -> None:
    (cell,) = (row[-1] for row in read_table(section(TEXT, "posts")) if row[0] == "`callbackOn`")
    assert tuple(re.findall(r"`(\w+)`", cell)) == intake.CALLBACK_ENDS


@pytest.mark.parametrize(
    "name",
    [
        *(f"`{queue}{suffix}`" for queue in QUEUES for suffix in ("", POISON_SUFFIX)),
        *(f"`{table}`" for table in TABLES),
        *(f"`{status}`" for status in FinalStatus),
        f"`api-version={API_VERSION}`",
        f"up to {intake.MAX_RESOURCE_ID:,} characters",
        f"up to {intake.MAX_KIND} characters",
        f"up to {intake.MAX_CLIENT_STATE // 1024} KB",
        f"up to {intake.MAX_MESSAGE // 1024} KiB",
        f"smaller than {webhook.MAX_BODY:,} bytes",
        f"{webhook._MIN_KEY} to {webhook._MAX_KEY} bytes",
        f"cut at {MAX_PROPERTY:,} characters",
        f"at most {poll_log.MOST_BYTES // 1024} KB",
        f"newest {deliveries._LOG_LENGTH} attempts",
        f"{deliveries.DIGITS[0]} hexadecimal digits of the SHA-256 of the callback URL",
        f"±{deliveries._JITTER:.0%}".replace("%", " %"),
        f"and {host_limiter._MOST_SLOW} in all",
        f"After {('none', 'one', 'two', 'three', 'four', 'five')[hosts.OPENS_AFTER]} failures",
    ],
)
def test_prose_names(name: str) -> None:
    assert name in TEXT


def mistakes(name: str, value: str) -> list[str]:
    """Return what is wrong with a setting that has a value."""
    usual = {STORAGE: "UseDevelopmentStorage=true", "OPSWATCH_POLL_MAX": "P7D"}
    read = Settings.read(usual | {name: value})
    return [mistake.text for mistake in read.mistakes]


@pytest.mark.parametrize("name", [name for name in SETTINGS if "__" not in name])
def test_setting_accepts_its_forms(name: str) -> None:
    values = {
        value
        for value in re.findall(r"`([^`]+)`", SETTINGS[name])
        if value not in NO_VALUES and not value.startswith("OPSWATCH_")
    }
    assert [mistakes(name, value) for value in sorted(values) if mistakes(name, value)] == []


@pytest.mark.parametrize("name", [name for name, form in SETTINGS.items() if "From `P" in form])
def test_duration_outside_its_bounds_is_a_mistake(name: str) -> None:
    ((least, most),) = re.findall(r"From `(\w+)` to `(\w+)`", SETTINGS[name])
    shortest, longest = parse_duration(least), parse_duration(most)
    assert shortest is not None
    assert longest is not None
    step = timedelta(seconds=1)
    outside = [longest + step] + ([shortest - step] if shortest >= step else [])
    assert [
        delay for delay in outside if not mistakes(name, f"PT{delay.total_seconds():.0f}S")
    ] == []
