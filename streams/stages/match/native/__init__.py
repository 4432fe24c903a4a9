"""What runs as machine code: reading records, the tables of a partition, joining.

`compiled` makes it of Python; `scan` reads the bytes of a batch; `entries` holds the open parcels, `closed`
the closed ones, `names` the numbers of outlets and sources; `joining` takes the ordinary records. Compiled
functions take positional arguments only, nothing but numbers and arrays, and trust their callers.
"""
