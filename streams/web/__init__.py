"""What our web servers have in common: how they listen, end, and tell what went wrong."""
