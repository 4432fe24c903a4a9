"""Records of `alerts.acks`: somebody has taken on an alert. A second writer beside the roll-ups, so on a
topic of its own; whoever shows alerts shows the newest acknowledgement of an episode with it.
"""  # noqa: D205 (one sentence, and its reason)

from typing import Final

import msgspec

from streams.records.published import alert_key

FORMAT: Final = 1


class AlertAck(msgspec.Struct, frozen=True):
    """One acknowledgement, keyed as its alert is. Times are RFC 3339 in Shanghai time.

    Attributes:
        by: Who takes it on, as people know them. Personal information: in no log and no metric.
        note: What they say; may be empty.
        acked_at: When.

    """

    alert_id: str
    episode: int
    by: str
    note: str
    acked_at: str
    schema_version: int = FORMAT

    @property
    def key(self) -> bytes:
        """Its key, which is the alert's."""
        return alert_key(self.alert_id, self.episode)


BY_CHARS_MAX: Final = 64
NOTE_CHARS_MAX: Final = 500

encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(AlertAck).decode
