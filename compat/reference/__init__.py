"""Apache Kafka itself, run from its Maven jars: the stranger that every claim of this project is compared with."""
