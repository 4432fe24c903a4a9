"""The AsyncAPI 3 document of what enterprises get: made from the events, their schemas and their topic.

`schemas/asyncapi.yaml` is what this returns; `make asyncapi` writes it, and a test compares.
"""

from typing import Any, Final

from streams.records import compliance
from streams.records.cloudevents import JSON
from streams.records.compliance import DATA_OF, RESTRICTED, SCHEMA_OF, schema_uri
from streams.records.topics import compliance_topic, compliance_topics

VERSION: Final = "1.0.0"
"""Of the contract: the second number grows with what is added, the first with a version of a type."""

_Json = dict[str, Any]

_SUMMARIES: Final = {
    compliance.RATE_UPDATED: "The rates of one of your scopes, and whether they meet the target",
    compliance.DAY_CLOSED: "A business day's figures, as first issued",
    compliance.DAY_REVISED: "A business day's figures, issued anew",
    compliance.ALERT_RAISED: "An alert on one of your scopes",
    compliance.ALERT_CHANGED: "Its severity, target or period has changed, or it is open a day later",
    compliance.ALERT_ENDED: "It has ended, and why",
    compliance.PERIOD_DECLARED: "An event period concerns you, or was declared anew",
    compliance.PERIOD_ENDED: "It is over, or was withdrawn",
    compliance.PARCEL_MISSING: "A parcel of yours that should be registered by now and is not",
    compliance.PARCEL_RETRACTED: "It is covered, or is not yours: take it off the list",
    compliance.PARCEL_EXPIRED: "Nobody follows it any more after seven days: forget its waybill",
    compliance.RECORDS_REJECTED: "Records of yours that could not be used: how many, and why",
}
assert list(_SUMMARIES) == list(DATA_OF)


def document() -> _Json:
    """Return the document. Schemas are named by their files, relative to `schemas/`."""
    return {
        "asyncapi": "3.1.0",
        "id": "urn:realname-streams:compliance",
        "info": {
            "title": "Compliance events of real-name parcel registration",
            "version": VERSION,
            "description": (
                "What an enterprise gets of its own outlets: CloudEvents 1.0 in Kafka's binary mode. "
                "SUBSCRIBING.md leads from nothing to a consumer."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": JSON,
        "servers": {
            "secured": {
                "host": "kafka.example.org:9094",
                "protocol": "kafka-secure",
                "description": "As the regulator tells you; one account for each enterprise.",
                "security": [{"$ref": "#/components/securitySchemes/account"}],
            },
        },
        "channels": {"compliance": _channel()},
        "operations": {
            "tell": {
                "action": "send",
                "channel": {"$ref": "#/channels/compliance"},
                "summary": "Tell an enterprise what concerns it, each event exactly once",
                "messages": [
                    {"$ref": f"#/channels/compliance/messages/{kind}"} for kind in DATA_OF
                ],
            },
        },
        "components": {
            "messages": {kind: _message(kind) for kind in DATA_OF},
            "securitySchemes": {
                "account": {
                    "type": "scramSha512",
                    "description": "SASL SCRAM-SHA-512 over TLS.",
                },
            },
        },
    }


def _channel() -> _Json:
    name = compliance_topic("{enterprise_id}")
    topic = compliance_topics(["{enterprise_id}"])[name]
    config = topic.config
    return {
        "address": topic.name,
        "title": "Compliance topic of one enterprise",
        "description": (
            "Compacted: read from its beginning it gives the present state of each key, and "
            f"after that what happens. Key: {topic.key}. Read it with isolation.level="
            "read_committed and a group id that begins with your enterprise's id and a dot."
        ),
        "servers": [{"$ref": "#/servers/secured"}],
        "parameters": {
            "enterprise_id": {
                "description": "Your id in the regulator's reference data.",
                "examples": ["91150100MA0ZT"],
            },
        },
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in DATA_OF},
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": config["cleanup.policy"].split(","),
                    "retention.ms": int(config["retention.ms"]),
                    "delete.retention.ms": int(config["delete.retention.ms"]),
                    "max.message.bytes": int(config["max.message.bytes"]),
                },
                "bindingVersion": "0.5.0",
            },
        },
    }


def _message(kind: str) -> _Json:
    schema = SCHEMA_OF.get(kind)
    message: _Json = {"name": kind, "title": kind, "summary": _SUMMARIES[kind]}
    message["headers"] = _headers(kind)
    if schema is None:
        message["payload"] = {
            "title": "No data",
            "description": "A tombstone: the key's earlier event no longer holds.",
            "type": "null",
        }
    else:
        message["contentType"] = JSON
        message["payload"] = {"$ref": f"./compliance/{schema}.schema.json"}
    message["correlationId"] = {
        "description": "What events about one scope's business day have in common.",
        "location": "$message.header#/ce_correlationid",
    }
    message["bindings"] = {
        "kafka": {
            "key": {"type": "string", "description": "As the attribute partitionkey."},
            "bindingVersion": "0.5.0",
        },
    }
    return message


def _headers(kind: str) -> _Json:
    schema = SCHEMA_OF.get(kind)
    required: _Json = {
        "ce_specversion": _text("Version of CloudEvents.", const="1.0"),
        "ce_id": _text("With ce_source the event's name for ever.", pattern="^[0-9a-f]{32}$"),
        "ce_source": _text("Who tells it.", const=compliance.SOURCE),
        "ce_type": _text("What has happened.", const=kind),
        "ce_subject": _text("To what: granularity and id, with a bar between."),
        "ce_time": _text("When it happened: RFC 3339, Shanghai time.", format="date-time"),
        "ce_partitionkey": _text("The record's key."),
    }
    if schema is not None:
        required["ce_dataschema"] = _text("The schema of the data.", const=schema_uri(schema))
        required["content-type"] = _text("Form of the data.", const=JSON)
    optional: _Json = {
        "ce_correlationid": _text("What events about one scope's business day have in common."),
        "ce_causationid": _text("Id of the event that this one follows on."),
    }
    family = kind.partition(".")[0]
    if family == "alert":
        optional["ce_severitytext"] = _text("Severity of the alert.")
        optional["ce_severitynumber"] = _text("The same as a number from 1 to 24.")
    if family == "parcel":
        optional |= {
            f"ce_{name}": _text("How to treat the event.", const=value)
            for name, value in RESTRICTED.items()
        }
        if schema is None:
            optional["ce_outletid"] = _text("The parcel's outlet.")
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
    }


def _text(description: str, **more: str) -> _Json:
    return {"type": "string", "description": description, **more}
