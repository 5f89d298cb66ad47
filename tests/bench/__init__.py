"""The measurements of SPEC 9: ``make bench``, or ``python -m tests.bench [NAME...] [--quick]``."""
