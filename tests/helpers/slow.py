"""What `make test` leaves out of a parametrised test, and `make test-all` runs."""

import pytest


def slow_but(values, *quick):
    """Return the values as parameters, of which all but the named ones are slow."""
    missing = {*quick} - {*values}
    assert not missing, missing
    return [pytest.param(v, marks=[] if v in quick else pytest.mark.slow) for v in values]
