"""Models asked questions with known answers: suites, runs, results with intervals, comparisons."""
