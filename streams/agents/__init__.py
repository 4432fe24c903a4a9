"""The Faust app: which agent reads what, and the worker process that runs them."""
