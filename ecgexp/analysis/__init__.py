"""Analysis of finished runs: HTML report, comparison of two runs, and the results page.

The modules read runs from a store or from run folders and change nothing there. The package lies
above `tracking`, `evaluation` and `sweeps`, and below `cli`.
"""

from typing import TYPE_CHECKING

from ecgexp.settings.lazy_exports import export_lazily

if TYPE_CHECKING:
    from ecgexp.analysis.comparison.run_comparison import RunComparison as RunComparison
    from ecgexp.analysis.comparison.run_comparison import compare_runs as compare_runs
    from ecgexp.analysis.find_runs import StoredRun as StoredRun
    from ecgexp.analysis.find_runs import find_run as find_run
    from ecgexp.analysis.find_runs import search_runs as search_runs
    from ecgexp.analysis.results_page.record import PublishedResult as PublishedResult
else:
    __all__, __getattr__, __dir__ = export_lazily(__name__)
