"""The match stage: joins each waybill's records and counts by cell what has changed.

`partition` is the stage and its rules; `fast_path` abbreviates them for nine records of ten. Around them:
`entry` (how a parcel lies in memory and log), `state` (the state log's payloads), `agenda` (what time will
bring about), `lookup` (reference data at a tick), `ledger` (changes until the commit), `reject_ratio`.
"""

from streams.stages.match.partition import Clock, MatchPartition

__all__ = ["Clock", "MatchPartition"]
