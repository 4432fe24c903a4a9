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
  - name: two workers in one slot start by turns, and both are told of; one that was updated is not
    interval: 1m
    input_series:
      - series: 'process_start_time_seconds{job="realname-worker",instance="a:8321"}'
        values: '100x3 300x3 500x3 700x10'
      - series: 'process_start_time_seconds{job="realname-worker",instance="b:8321"}'
        values: '100x3 300x20'
      - series: 'process_start_time_seconds{job="realname-serve",instance="c:8080"}'
        values: '100x3 300x3 500x3 700x10'
    alert_rule_test:
      - { eval_time: 11m, alertname: RealNameWorkerFenced, exp_alerts: [] }
      - eval_time: 13m
        alertname: RealNameWorkerFenced
        exp_alerts:
          - exp_labels: { severity: ticket, instance: "a:8321" }
            exp_annotations:
              summary: 'The worker at a:8321 loses its place again and again'
              summary_zh: '工作进程 a:8321 反复失去位置'
              runbook_url: deploy/runbooks/RealNameWorkerFenced.md
  - name: a worker that stays, and loses its producer of one stage again and again, is told of
    interval: 1m
    input_series:
      - series: 'realname_transaction_aborts_total{stage="rate",reason="producer_lost",instance="a:8321"}'
        values: '0x5 1x5 2x5 3x20'
      - series: 'realname_transaction_aborts_total{stage="rate",reason="producer_lost",instance="b:8321"}'
        values: '0x5 1x30'
      - series: 'realname_transaction_aborts_total{stage="rate",reason="TIMED_OUT",instance="b:8321"}'
        values: '0+1x30'
    alert_rule_test:
      - { eval_time: 15m, alertname: RealNameWorkerFenced, exp_alerts: [] }
      - eval_time: 25m
        alertname: RealNameWorkerFenced
        exp_alerts:
          - exp_labels: { severity: ticket, instance: "a:8321" }
            exp_annotations:
              summary: 'The worker at a:8321 loses its place again and again'
              summary_zh: '工作进程 a:8321 反复失去位置'
              runbook_url: deploy/runbooks/RealNameWorkerFenced.md
  - name: clocks that differ for ten minutes are told, in both directions; a moment is not
    interval: 1m
    input_series:
      - { series: 'realname_kafka_clock_ahead_seconds{instance="a:8321"}', values: '0x1 -30x20' }
      - { series: 'realname_kafka_clock_ahead_seconds{instance="b:8321"}', values: '0x1 30x5 0x20' }
      - { series: 'realname_kafka_clock_ahead_seconds{instance="c:8321"}', values: '9x20' }
    alert_rule_test:
      - { eval_time: 11m, alertname: RealNameClockSkew, exp_alerts: [] }
      - eval_time: 13m
        alertname: RealNameClockSkew
        exp_alerts:
          - exp_labels: { severity: ticket, instance: "a:8321" }
            exp_annotations:
              summary: 'The clocks of Kafka and of the worker at a:8321 differ by 30s'
              summary_zh: 'Kafka 与工作进程 a:8321 的时钟相差 30s'
              runbook_url: deploy/runbooks/RealNameClockSkew.md
  - name: next to nothing where there was much yesterday is told; heartbeats do not hide it
    interval: 10m
    input_series:
      - { series: 'realname_records_total{stage="match",instance="a"}', values: '0+60000x149 8940000+480x30' }
      - { series: 'realname_records_total{stage="rate",instance="a"}', values: '0+60000x180' }
    alert_rule_test:
      - { eval_time: 24h, alertname: RealNameNoRecords, exp_alerts: [] }
      - eval_time: 26h
        alertname: RealNameNoRecords
        exp_alerts:
          - exp_labels: { severity: page }
            exp_annotations:
              summary: 'Less than a tenth of the records of this time yesterday come in'
              summary_zh: '收到的记录不足昨日同一时刻的十分之一'
              runbook_url: deploy/runbooks/RealNameNoRecords.md
  - name: a night as quiet as the last one is none, nor is a first day
    interval: 10m
    input_series:
      - { series: 'realname_records_total{stage="match"}', values: '0+480x180' }
    alert_rule_test:
      - { eval_time: 2h, alertname: RealNameNoRecords, exp_alerts: [] }
      - { eval_time: 28h, alertname: RealNameNoRecords, exp_alerts: [] }
  - name: one gateway that answers is enough, and none that there should be is told
    interval: 1m
    input_series:
      - { series: 'up{job="realname-gateway",instance="a:8350"}', values: '0x20' }
      - { series: 'up{job="realname-gateway",instance="b:8350"}', values: '1x5 0x15' }
    alert_rule_test:
      - { eval_time: 5m, alertname: RealNameGatewayDown, exp_alerts: [] }
      - eval_time: 9m
        alertname: RealNameGatewayDown
        exp_alerts:
          - exp_labels: { severity: page }
            exp_annotations:
              summary: 'No gateway answers'
              summary_zh: '接入网关全部无响应'
              runbook_url: deploy/runbooks/RealNameGatewayDown.md
  - name: where there is no gateway, nothing is told of it
    interval: 1m
    input_series:
      - { series: 'up{job="realname-worker",instance="a:8321"}', values: '0x20' }
    alert_rule_test:
      - { eval_time: 15m, alertname: RealNameGatewayDown, exp_alerts: [] }
      - { eval_time: 15m, alertname: RealNameGatewayBusy, exp_alerts: [] }
      - { eval_time: 15m, alertname: RealNameGatewayRejecting, exp_alerts: [] }
      - { eval_time: 15m, alertname: RealNameGatewaySlow, exp_alerts: [] }
  - name: batches that are put off are told, whoever puts them off; health checks do not count
    interval: 1m
    input_series:
      - { series: 'realname_gateway_requests_total{route="/v1/shipments",code="200"}', values: '0+90x40' }
      - { series: 'realname_gateway_requests_total{route="/v1/shipments",code="429"}', values: '0x10 0+6x30' }
      - { series: 'realname_gateway_requests_total{route="/v1/shipments",code="503"}', values: '0x10 0+4x30' }
      - { series: 'realname_gateway_requests_total{route="/ready",code="503"}', values: '0+60x40' }
    alert_rule_test:
      - { eval_time: 12m, alertname: RealNameGatewayBusy, exp_alerts: [] }
      - eval_time: 38m
        alertname: RealNameGatewayBusy
        exp_alerts:
          - exp_labels: { severity: ticket }
            exp_annotations:
              summary: 'The gateway puts off more than one batch in twenty'
              summary_zh: '接入网关要求重发超过二十分之一的批次'
              runbook_url: deploy/runbooks/RealNameGatewayBusy.md
  - name: an enterprise whose records are rejected is told by its id, others are not
    interval: 1m
    input_series:
      - { series: 'realname_gateway_records_total{enterprise="x",code="accepted"}', values: '0+80x60' }
      - { series: 'realname_gateway_records_total{enterprise="x",code="OUTLET"}', values: '0+10x60' }
      - { series: 'realname_gateway_records_total{enterprise="x",code="FIELD"}', values: '0+10x60' }
      - { series: 'realname_gateway_records_total{enterprise="y",code="accepted"}', values: '0+95x60' }
      - { series: 'realname_gateway_records_total{enterprise="y",code="FIELD"}', values: '0+5x60' }
    alert_rule_test:
      - { eval_time: 10m, alertname: RealNameGatewayRejecting, exp_alerts: [] }
      - eval_time: 30m
        alertname: RealNameGatewayRejecting
        exp_alerts:
          - exp_labels: { severity: ticket, enterprise: x }
            exp_annotations:
              summary: 'More than one record in ten of x is rejected at the gateway'
              summary_zh: '接入网关拒收企业 x 超过十分之一的记录'
              runbook_url: deploy/runbooks/RealNameGatewayRejecting.md
  - name: slow answers are told of batches, not of what else is asked
    interval: 1m
    input_series:
      - series: 'realname_gateway_request_seconds_bucket{route="/v1/shipments",le="5"}'
        values: '0+100x20 2000+97x40'
      - series: 'realname_gateway_request_seconds_bucket{route="/v1/shipments",le="10"}'
        values: '0+100x60'
      - series: 'realname_gateway_request_seconds_bucket{route="/v1/shipments",le="+Inf"}'
        values: '0+100x60'
      - series: 'realname_gateway_request_seconds_bucket{route="/metrics",le="5"}'
        values: '0x60'
      - series: 'realname_gateway_request_seconds_bucket{route="/metrics",le="+Inf"}'
        values: '0+900x60'
    alert_rule_test:
      - { eval_time: 19m, alertname: RealNameGatewaySlow, exp_alerts: [] }
      - eval_time: 50m
        alertname: RealNameGatewaySlow
        exp_alerts:
          - exp_labels: { severity: ticket }
            exp_annotations:
              summary: 'One batch in a hundred takes the gateway more than five seconds'
              summary_zh: '接入网关百分之一的批次耗时超过五秒'
              runbook_url: deploy/runbooks/RealNameGatewaySlow.md
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


def promtool(*arguments: str, folder: Path = PROMETHEUS) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.fail("promtool not found; run `make test-system`, which installs it")
    done = subprocess.run(
        [tool, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_and_its_rules_are_accepted(tmp_path: Path) -> None:
    """With the file of the gateway's token, as it is where there is a gateway."""
    folder = shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    (folder / "gateway.token").write_text("rns_none")
    promtool("check", "config", "prometheus.yml", folder=folder)


def test_the_rules_fire_when_they_should(tmp_path: Path) -> None:
    cases = tmp_path / "cases.test.yml"
    cases.write_text(CASES.replace("rules/", f"{PROMETHEUS}/rules/"), "utf8")
    promtool("test", "rules", str(cases))
