"""A data directory that changes owner: kbroker writes and Apache Kafka goes on, and the other way round."""
