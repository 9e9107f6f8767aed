"""Reports: metrics, intervals and tables, all derived from the records of a run."""
