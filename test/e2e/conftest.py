"""What every end-to-end test shares: a failure shows the state of its lab."""

import pytest

from lab import Lab


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    del item, call
    report = (yield).get_result()
    if report.failed:
        said = Lab.last_words + [lab.report() for lab in Lab.opened]
        report.sections += [("state of the lab", words) for words in said]
    Lab.last_words.clear()
