"""Writes `schemas/asyncapi.yaml`: `make asyncapi`."""

from pathlib import Path

import yaml  # type: ignore[import-untyped]  # its types would be one more package, for two lines

from streams.records.asyncapi import document

PATH = Path(__file__).parent.parent.parent / "schemas/asyncapi.yaml"


def main() -> None:
    text = yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=100)
    PATH.write_text(text, "utf8")


if __name__ == "__main__":
    main()
