"""One partition on disk, in Kafka's formats. Sync; is given a Disk and a Clock, and knows neither trio nor sockets."""
