"""Rows with several labels, divided so that each part has each label in its share: iterative stratification.

After Sechidis, Tsoumakas and Vlahavas (2011): the label with the fewest rows left is divided first, since nothing can mend it
later, and each of its rows goes where most of that label is wanted.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray


def apportioned(tags: Sequence[Sequence[Hashable]], wanted: int, *, seed: int) -> NDArray[np.bool_]:
    """Which rows (N,) a part of `wanted` of them takes, of rows with these labels.

    A label that two rows have or more has one on either side, as far as its other labels allow.
    """
    order = np.random.default_rng(seed).permutation(len(tags)).tolist()
    share, left = wanted / len(tags), Counter(tag for several in tags for tag in several)
    rows_of: dict[Hashable, list[int]] = defaultdict(list)
    for row in order:
        for tag in tags[row]:
            rows_of[tag].append(row)
    needs = {tag: [count * share, count * (1 - share)] for tag, count in left.items()}  # of the part and of the rest
    for tag, count in left.items():
        if count > 1:
            least = max(1.0, min(needs[tag]))
            needs[tag] = [least, count - least] if share <= 0.5 else [count - least, least]
    room = [float(wanted), float(len(tags) - wanted)]
    part_of = np.full(len(tags), -1)

    def put(row: int, part: int) -> None:
        part_of[row] = part
        room[part] -= 1
        for tag in tags[row]:
            needs[tag][part] -= 1
            left[tag] -= 1

    while any(left.values()):
        tag = min((name for name, count in left.items() if count), key=lambda name: (left[name], str(name)))
        for row in rows_of[tag]:
            if part_of[row] < 0:
                of_part, of_rest = needs[tag]
                put(row, int((of_rest, room[1]) > (of_part, room[0])))
    for row in order:
        if part_of[row] < 0:
            put(row, int(room[1] > room[0]))
    over = round(-room[0])  # rows that the part has too many, where labels asked for more
    for row in [row for row in order if part_of[row] == (over < 0)][: abs(over)]:
        put(row, int(over > 0))
    return np.asarray(part_of == 0)
