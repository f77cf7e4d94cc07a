"""Ray: one that lives within this process, or a cluster that is joined. What Ray reads when it is imported is set here."""

import os

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what goes wrong is said in the videos' rows
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # Ray prints dead workers' obituaries to standard output
os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "60000")  # by default 1 s, and starting one takes as long
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")  # it ends the driver at SIGTERM, below Python's own handler
