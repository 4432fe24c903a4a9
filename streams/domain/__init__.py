"""The words of real-name monitoring: pure values and rules; no clock, no I/O, standard library only."""
