"""Benchmarks are scripts: ``make bench`` runs them, ``tests/test_benchmarks.py`` tries them."""

collect_ignore_glob = ["*.py"]
