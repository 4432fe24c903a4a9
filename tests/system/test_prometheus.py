"""Prometheus' own tool accepts the rules and the scrape configuration; its rules fire when they should."""

import shutil
import subprocess
from pathlib import Path

import pytest

PROMETHEUS = Path(__file__).parents[2] / "deploy/prometheus"

CASES = """
rule_files: [rules/realname.rules.yml]
evaluation_interval: 1m
tests:
  - name: a stage that stands still is told after ten minutes, a moving one is not
    interval: 1m
    input_series:
      - { series: 'realname_tick_time_seconds{stage="rate"}', values: '0x20' }
      - { series: 'realname_tick_time_seconds{stage="rollup"}', values: '-70+60x20' }
    alert_rule_test:
      - { eval_time: 10m, alertname: RealNameNoEvaluation, exp_alerts: [] }
      - eval_time: 12m
        alertname: RealNameNoEvaluation
        exp_alerts:
          - exp_labels: { severity: page, stage: rate }
            exp_annotations:
              summary: 'No verdicts are made: rate stands still'
              summary_zh: '判定停滞：rate 阶段未推进'
              runbook_url: deploy/runbooks/RealNameNoEvaluation.md
  - name: nobody who says how far the ticks are is as bad
    interval: 1m
    input_series: []
    alert_rule_test:
      - eval_time: 8m
        alertname: RealNameNoEvaluation
        exp_alerts:
          - exp_labels: { severity: page }
            exp_annotations:
              summary: 'No verdicts are made:  stands still'
              summary_zh: '判定停滞： 阶段未推进'
              runbook_url: deploy/runbooks/RealNameNoEvaluation.md
  - name: a restore is told after five minutes, of the stage that has not all its partitions
    interval: 1m
    input_series:
      - { series: 'realname_partitions{stage="match",state="assigned"}', values: '24x20' }
      - { series: 'realname_partitions{stage="match",state="running"}', values: '20x20' }
      - { series: 'realname_partitions{stage="rate",state="assigned"}', values: '4x20' }
      - { series: 'realname_partitions{stage="rate",state="running"}', values: '4x20' }
    alert_rule_test:
      - { eval_time: 4m, alertname: RealNameRestoreTooLong, exp_alerts: [] }
      - eval_time: 6m
        alertname: RealNameRestoreTooLong
        exp_alerts:
          - exp_labels: { severity: page, stage: match }
            exp_annotations:
              summary: 'match has been restoring its state for five minutes'
              summary_zh: 'match 阶段恢复状态已超过五分钟'
              runbook_url: deploy/runbooks/RealNameRestoreTooLong.md
  - name: a rate is pooled over its parts, never their mean
    interval: 1m
    input_series:
      - { series: 'realname_parcels_covered{city="a",enterprise="x"}', values: '90' }
      - { series: 'realname_parcels_mature{city="a",enterprise="x"}', values: '100' }
      - { series: 'realname_parcels_covered{city="b",enterprise="x"}', values: '10' }
      - { series: 'realname_parcels_mature{city="b",enterprise="x"}', values: '900' }
    promql_expr_test:
      - expr: region:realname_parcels_covered_per_mature:ratio
        eval_time: 0m
        exp_samples:
          - { labels: 'region:realname_parcels_covered_per_mature:ratio', value: 0.1 }
"""


def promtool(*arguments: str) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.fail("promtool not found; run `make test-system`, which installs it")
    done = subprocess.run(
        [tool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_and_its_rules_are_accepted() -> None:
    promtool("check", "config", "prometheus.yml")


def test_the_rules_fire_when_they_should(tmp_path: Path) -> None:
    cases = tmp_path / "cases.test.yml"
    cases.write_text(CASES.replace("rules/", f"{PROMETHEUS}/rules/"), "utf8")
    promtool("test", "rules", str(cases))
