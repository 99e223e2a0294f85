"""Results that the tests of reports share."""

import pytest
from made_up_results import results_of

from model_store.reports.results import KShotResults


@pytest.fixture(scope="session")
def results() -> KShotResults:
    return results_of()
