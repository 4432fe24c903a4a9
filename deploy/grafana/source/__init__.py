"""The dashboards as code: `python -m deploy.grafana.source` writes `deploy/grafana/dashboards/`."""
