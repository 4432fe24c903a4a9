"""Reference data: from files to versioned snapshots that stages look things up in."""
