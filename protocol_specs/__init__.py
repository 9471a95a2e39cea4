"""The Kafka protocol, declared with construct."""
