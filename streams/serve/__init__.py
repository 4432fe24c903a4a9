"""What people and programs look at: a view of the published topics, a JSON API, a board, metrics."""
