"""The compatibility suite: scenarios written once, a small driver per client, against any address.

Run `python -m compat --help`; README.md beside this file says how to read and to extend the matrix.
"""
