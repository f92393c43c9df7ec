"""When polls came and what they showed, in as much as fits a row: the middle is thinned."""

from opswatch.core.texts import to_json

# Seconds since the registration; "o" for the same word, "x" for a miss, or a new word; the HTTP
# code, 0 without an answer; how many equal polls the entry counts.
PollEntry = tuple[int, str, int, int]
READ, MISSED = "o", "x"

MOST_BYTES = 2048  # of its JSON
_MOST_ENTRIES = 120
_FIRST, _LAST = 20, 40  # entries that are kept as they are
_LONGEST_WORD = 64  # characters


def add_poll(
    log: tuple[PollEntry, ...], seconds: float, shown: str, code: int
) -> tuple[PollEntry, ...]:
    """Return the log with one more poll, thinned if it is too long.

    Totals, the first and the last poll, every change and the order are kept: only neighbours that
    are alike are merged, in the middle first, and elsewhere if that is not enough.
    """
    entry = (max(0, round(seconds)), shown[:_LONGEST_WORD], code, 1)
    log = (*log, entry)
    if _fits(log, _MOST_ENTRIES):
        return log
    first, last = 2 * _FIRST, 2 * _LAST
    while not _fits(log, _MOST_ENTRIES) and (first or last > 1):
        first, last = first // 2, max(last // 2, 1)
        if len(log) > first + last:
            log = (*log[:first], *_merged(log[first:-last]), *log[-last:])
    while not _fits(log, len(log)) and len(log) > 2:  # noqa: PLR2004 - the first and the last
        log = _without_a_change(log)
    return log


def _fits(log: tuple[PollEntry, ...], most: int) -> bool:
    return len(log) <= most and len(to_json(log).encode()) <= MOST_BYTES


def _merged(log: tuple[PollEntry, ...]) -> tuple[PollEntry, ...]:
    """Return entries with each pair of neighbours that are alike as one, at the first's time."""
    merged: list[PollEntry] = []
    is_paired = False
    for entry in log:
        if merged and not is_paired and _are_alike(merged[-1], entry):
            at, shown, code, count = merged[-1]
            merged[-1] = (at, shown, code, count + entry[3])
            is_paired = True
        else:
            merged.append(entry)
            is_paired = False
    return tuple(merged)


def _are_alike(one: PollEntry, other: PollEntry) -> bool:
    """Return whether two entries show the same; a new word is followed by reads of the same."""
    same_word = other[1] == READ and one[1] != MISSED
    return one[2] == other[2] and (one[1] == other[1] or same_word)


def _without_a_change(log: tuple[PollEntry, ...]) -> tuple[PollEntry, ...]:
    """Return a log of changes alone without one in the middle; its neighbour gets its count."""
    middle = len(log) // 2
    at, shown, code, count = log[middle - 1]
    return (*log[: middle - 1], (at, shown, code, count + log[middle][3]), *log[middle + 1 :])
