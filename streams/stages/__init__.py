"""The three stages, match, rate and rollup: pure state machines over records; no clock, no I/O."""
