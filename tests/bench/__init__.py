"""Measures what the proxy costs, beside a direct connection and other proxies, in the same minutes on the same machine.

    make bench                                               everything; minutes
    make bench BENCH="--only point-select --clients 8"       one case
    make bench BENCH="--list"                                the cases

A case (oltp.py and others, listed in cases.py) measures subjects in alternating rounds and gives measurements
(results.py), which are printed (report.py), written as JSON and drawn (plot.py). What runs is started by endpoints.py.
"""
