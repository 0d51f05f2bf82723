"""Bytes that nobody would send, at every place where the product takes bytes.

    make fuzz                       all targets, a minute each, guided by coverage
    make fuzz FUZZ="nodes -s 600"   one of them, for longer

Targets (targets.py) are functions of bytes that raise when a promise is broken. In every run of the tests they get
what once broke them, and some mutations of what is usual (test_fuzz.py).
"""
