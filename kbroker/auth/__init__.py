"""Who may do what: for the present every principal may do everything, as in Kafka without an authorizer."""
