"""What users and our own tests start brokers with, and worlds that tests can move."""
