"""The match stage: joins each waybill's records and counts by cell what has changed.

`partition` is the stage; `waybills` is what it knows and the rule by which a record changes that;
`fast_path` abbreviates the rule for nine records of ten. Below them: `entry` (how a parcel lies in memory
and log), `state` (the state log's payloads), `agenda` (what time will bring about), `lookup` (reference
data at a tick), `ledger` (changes until the commit), `reject_ratio` (when better to stop).
"""

from streams.stages.match.partition import MatchPartition
from streams.stages.match.waybills import Clock

__all__ = ["Clock", "MatchPartition"]
