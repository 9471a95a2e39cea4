"""Speed, memory and codec cost, measured beside Apache Kafka in one run: `python -m tests.bench --help`.

Nothing here imports the broker's own code except `codec.py`: a load generator that shares code with the broker would
share its mistakes, and its speed.
"""
