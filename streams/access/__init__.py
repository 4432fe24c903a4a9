"""Who may do what in Kafka: from the declared principals to users and ACLs, planned and applied."""
