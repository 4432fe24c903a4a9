"""Takes in records over HTTP: from each enterprise its own, checked, and acknowledged once Kafka has them."""
