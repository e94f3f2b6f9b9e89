#!/usr/bin/env bash
# bdtr, the binomial distribution function, says of 10.0 that it is no integer, and of what it does with it that it went away
# in SciPy 1.7.
#
# Expected: n is documented as an int; a whole number in a float is one, as in scipy.stats.binom.cdf, and of 10.5 an error or
# not-a-number would be clear. A deprecation names a version that is yet to come.
# Seen: the type decides, not the value: every float n gets a DeprecationWarning, "non-integer arg n is deprecated, removed in
# SciPy 1.7.x", in 1.17.1; k may be a float. 10.5 is cut to 10 with the same warning. So where warnings are errors, numbers of
# rows that went through an array of floats stop the program.
# What helps: n.astype(int), or scipy.stats.binom.cdf.
#
# scipy 1.17.1, numpy 2.4.6, Python 3.11, Linux. Seen on 2026-11-30:
#   bdtr(3, 10, 0.5) = 0.171875, no warning
#   bdtr(3.0, 10, 0.5) = 0.171875, no warning
#   bdtr(3, 10.0, 0.5) = 0.171875, DeprecationWarning: non-integer arg n is deprecated, removed in SciPy 1.7.x
#   bdtr(3, 10.5, 0.5) = 0.171875, DeprecationWarning: non-integer arg n is deprecated, removed in SciPy 1.7.x
#   binom.cdf(3, 10.0, 0.5) = 0.171875, no warning
# Exits 1 if the whole float passes without a warning, or 10.5 is something else.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scipy==1.17.1 numpy==2.4.6
cat > "$folder/probe.py" <<'PY'
import sys
import warnings

from scipy.special import bdtr
from scipy.stats import binom


def told(function, name, *numbers):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = float(function(*numbers))
    words = "; ".join(f"{one.category.__name__}: {one.message}" for one in caught) or "no warning"
    print(f"#   {name}({', '.join(map(str, numbers))}) = {value:.6f}, {words}")
    return round(value, 6), bool(caught)


plain, whole_k, whole_n, half = (told(bdtr, "bdtr", *numbers, 0.5) for numbers in ((3, 10), (3.0, 10), (3, 10.0), (3, 10.5)))
told(binom.cdf, "binom.cdf", 3, 10.0, 0.5)
sys.exit(0 if plain == whole_k == (0.171875, False) and whole_n == half == (0.171875, True) else 1)
PY
"$folder/venv/bin/python" "$folder/probe.py"
