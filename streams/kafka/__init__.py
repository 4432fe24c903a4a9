"""The shell round Kafka: channels, transactions, state logs, topics, the embedded broker."""
