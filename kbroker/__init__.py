"""kbroker: a Kafka broker in pure Python."""
