"""The compliance stage: from what is published to what each enterprise gets of it."""
