"""The topic catalogue: every topic's name, key, partitions, settings, writers and readers."""

# The largest record: a snapshot of the outlets, or one transaction's changes of a partition. The
# embedded broker and every topic allow it.
MESSAGE_BYTES_MAX = 8 * 1024 * 1024
