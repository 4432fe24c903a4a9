"""Typed records of every topic: encode, decode, reject codes and the topic catalogue."""
