"""Sending many deliveries again: what a job sends next, and the task that works on the jobs."""

from app.bulk.plans import Impossible, Plans, asking
from app.bulk.work import PER_SECOND_DEFAULT, PER_SECOND_MAX, PER_SECOND_MIN, BulkWork

__all__ = [
    "PER_SECOND_DEFAULT",
    "PER_SECOND_MAX",
    "PER_SECOND_MIN",
    "BulkWork",
    "Impossible",
    "Plans",
    "asking",
]
