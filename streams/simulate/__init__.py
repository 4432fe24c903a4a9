"""Scenarios: a region's couriers, played as `shipments` records with known faults."""
