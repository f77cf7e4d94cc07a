"""Ray, embedded in this process or on a cluster. The variables that Ray reads at import are set here."""

import os

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # errors are in the videos' rows
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # else Ray prints how workers died to standard output
os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "60000")  # by default 1 s, and starting one takes as long
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")  # it ends the driver at SIGTERM, below Python's own handler
