"""Whether a saved notebook still replays, as a value: run again, compared, and looked through.

:func:`verify` returns a :class:`Report`. As JSON (``llm-magic verify --json``)::

    {"version": 1, "exit_code": 1, "errors": [{"notebook": "...", "message": "..."}], "reports": [
      {"notebook": "analysis.ipynb", "calls": 5, "recordings": 6,
       "cells": [{"number": 1, "id": "...", "line": "%load_ext llm_magic", "status": "same"}],
       "findings": [{"kind": "drifted", "message": "...", "cell": 3, "detail": "--- saved..."}]}]}

A change of this shape is a new version; a new field is none.
"""

from llm_magic.verify.findings import FORGIVEN, KINDS, CellResult, Finding, Report
from llm_magic.verify.verifier import TIMEOUT, verify

__all__ = ["FORGIVEN", "KINDS", "TIMEOUT", "CellResult", "Finding", "Report", "verify"]
