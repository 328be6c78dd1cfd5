"""Published results: pages, tables, figures and headers, generated from `results/`.

`results/runs.jsonl` has one line per published run (`record`). A line is made from a
finished run (`from_run`, `ensemble`), lines are grouped by configuration (`groups`), and everything
else is written from the groups, without an MLflow store.
"""
