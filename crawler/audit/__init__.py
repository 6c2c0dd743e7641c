"""The proof of a run's accounting, by a reader that shares no code with what wrote it.

Law: nothing here imports another room but ``model`` (import-linter holds it), so that a fault of the sink or of the
frontier cannot hide itself. Files and state are opened for reading only.
"""

from crawler.audit.places import NoSuchRun, Place, find_job, find_run
from crawler.audit.schema import page_check, page_schema
from crawler.audit.verdict import Verdict, audit

__all__ = [
    "NoSuchRun",
    "Place",
    "Verdict",
    "audit",
    "find_job",
    "find_run",
    "page_check",
    "page_schema",
]
