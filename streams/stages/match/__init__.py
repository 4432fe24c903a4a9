"""The match stage: joins each waybill's records and counts by cell what has changed.

`partition` is the stage; `waybills` is what it knows and the rule by which a record changes that. A batch
goes through `fast_path`, which reads it as columns (`rows`), cuts it (`runs`) and has machine code (`native`)
join what is ordinary; all else it hands to the rule. Below them: `entry` (how a parcel lies in memory and
log), `state` (the state log's payloads), `agenda` (what time will bring about), `lookup` (reference data at a
tick), `ledger` (changes until the commit), `reject_ratio` (when better to stop). `warm_up` has the
machine code made before it is needed.
"""

from streams.stages.match.partition import MatchPartition
from streams.stages.match.warm_up import warm_up
from streams.stages.match.waybills import Clock

__all__ = ["Clock", "MatchPartition", "warm_up"]
