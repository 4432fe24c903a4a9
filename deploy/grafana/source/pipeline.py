"""The platform itself: does it keep up, does it commit, what does it refuse, whom does it reach."""

from typing import Final

from deploy.grafana.source.model import Dashboard, Row, Text
from deploy.grafana.source.panels import (
    COUNT,
    SECONDS,
    stat,
    steps,
    switch,
    timeline,
    timeseries,
)
from deploy.grafana.source.queries import Prom, once, or_zero, per_second, quantile
from streams.gateway.metrics import ACCEPTED
from streams.gateway.metrics import SHIPMENTS_ROUTE as ROUTE

_RECORDS: Final = "stage:realname_records:rate5m"
_POSTED: Final = "max by (alertmanager) (realname_notify_last_success_timestamp_seconds)"
_STAGE: Final = "{{stage}}"
_RECORDS_S: Final = "recps"


def _quantiles(histogram: str, by: str) -> list[Prom]:
    """Return the median and the slow end."""
    return [
        Prom(quantile(0.5, histogram, by), f"p50 {{{{{by}}}}}"),
        Prom(quantile(0.99, histogram, by), f"p99 {{{{{by}}}}}"),
    ]


def _mean(histogram: str) -> Prom:
    """Return the mean since the processes began: for what happens too seldom for a rate."""
    share = f"sum by (stage) ({histogram}_sum) / (sum by (stage) ({histogram}_count) > 0)"
    return Prom(or_zero(share, "stage", f"sum by (stage) ({_RECORDS})"), _STAGE)


_OVERVIEW: Final = Row(
    Text("总览", "Overview"),
    5,
    [
        stat(
            Text("进程", "Processes"),
            Text("能被抓取的进程数。", "Processes that answer Prometheus."),
            Prom('sum by (job) (up{job=~"realname-.*"})', "{{job}}"),
            unit=COUNT,
            graph=False,
        ),
        stat(
            Text("处理速度", "Records a second"),
            Text("匹配阶段处理的输入记录。", "Input records applied by the stage match."),
            Prom(f'{_RECORDS}{{stage="match"}}'),
            unit=_RECORDS_S,
        ),
        stat(
            Text("积压", "Lag"),
            Text("尚未处理的输入记录。", "Input records not yet applied."),
            Prom("sum(realname_lag_records)"),
            unit=COUNT,
            field=steps((None, "text"), (50_000, "orange")),
        ),
        stat(
            Text("判定时延", "Tick lag"),
            Text(
                "最近一次判定距现在多久；回放旧数据时无意义。",
                "How far the last tick judged lies back; meaningless for replayed data.",
            ),
            Prom("time() - min(realname_tick_time_seconds)"),
            unit=SECONDS,
            field=steps((None, "text"), (300, "orange")),
        ),
        stat(
            Text("死信占比", "Share of dead letters"),
            Text("被拒收的输入记录占比。", "Share of the input records that is refused."),
            Prom(
                "sum(rate(realname_records_rejected_total[$__rate_interval])) / "
                '(sum(rate(realname_records_total{stage="match"}[$__rate_interval])) > 0)'
                " or vector(0)"
            ),
            unit="percentunit",
            field=steps((None, "text"), (0.01, "orange")),
        ),
        stat(
            Text("平台告警", "Alerts of the platform"),
            Text("Prometheus 规则触发的告警数。", "Alerts of Prometheus' rules that fire."),
            Prom('count(ALERTS{alertname=~"RealName.+", alertstate="firing"}) or vector(0)'),
            unit=COUNT,
            field=steps((None, "text"), (1, "orange")),
        ),
    ],
)

_PROGRESS: Final = Row(
    Text("进度", "Progress"),
    9,
    [
        timeseries(
            Text("积压", "Lag"),
            Text("各主题尚未处理的记录。", "Records of each topic not yet applied."),
            Prom("sum by (topic) (realname_lag_records)", "{{topic}}"),
            unit=COUNT,
            width=8,
        ),
        timeseries(
            Text("流时间时延", "Stream-time lag"),
            Text(
                "各阶段最慢分区的流时间距现在多久。",
                "How far the stream time of each stage's slowest partition lies back.",
            ),
            Prom("time() - min by (stage) (realname_stream_time_seconds)", _STAGE),
            unit=SECONDS,
            width=8,
        ),
        timeseries(
            Text("判定时延", "Tick lag"),
            Text("各阶段最近一次判定距现在多久。", "How far each stage's last tick lies back."),
            Prom("time() - min by (stage) (realname_tick_time_seconds)", _STAGE),
            unit=SECONDS,
            width=8,
        ),
        timeseries(
            Text("处理速度", "Records a second"),
            Text("各阶段处理的输入记录。", "Input records applied by each stage."),
            Prom(_RECORDS, _STAGE),
            unit=_RECORDS_S,
            width=8,
        ),
        timeseries(
            Text("批量大小", "Records a batch"),
            Text(
                "每批处理的记录；积压时变大。", "Records of each batch applied; more in a catch-up."
            ),
            Prom(
                f"{per_second('realname_records_total', 'stage')} / "
                f"({per_second('realname_batches_total', 'stage')} > 0)",
                _STAGE,
            ),
            unit=COUNT,
            width=8,
        ),
        timeseries(
            Text("在途包裹", "Open parcels"),
            Text(
                "内存中的在途包裹；每个约 340 字节。", "Parcels in memory, at some 340 bytes each."
            ),
            Prom("sum(realname_open_parcels)", "在途 open"),
            unit=COUNT,
            width=8,
        ),
    ],
)

_STATE: Final = Row(
    Text("提交与状态", "Commits and state"),
    9,
    [
        timeseries(
            Text("事务耗时", "Time of a flush"),
            Text(
                "含状态、输出和位点的一次事务。",
                "Of one transaction with state, outputs and offsets.",
            ),
            *_quantiles("realname_flush_seconds", "stage"),
            unit=SECONDS,
            width=8,
        ),
        timeseries(
            Text("中止的事务", "Aborted transactions"),
            Text(
                "重平衡时偶有；持续出现说明 Kafka 有问题。",
                "A few are usual in a rebalance; a steady stream means trouble with Kafka.",
            ),
            Prom(
                or_zero(
                    per_second("realname_transaction_aborts_total", "stage"),
                    "stage",
                    f"sum by (stage) ({_RECORDS})",
                ),
                _STAGE,
            ),
            unit="cps",
            width=8,
        ),
        timeseries(
            Text("分区", "Partitions"),
            Text(
                "已分配和已恢复运行的输入分区；差值为恢复中。",
                "Input partitions that are assigned, and those that run; the rest is restoring.",
            ),
            Prom("sum by (stage, state) (realname_partitions)", "{{stage}} {{state}}"),
            unit=COUNT,
            width=8,
        ),
        timeseries(
            Text("恢复耗时", "Time of a restore"),
            Text(
                "恢复一次分配的全部状态，进程启动以来的平均值。",
                "Of bringing back an assignment's states; the mean since the processes began.",
            ),
            _mean("realname_restore_seconds"),
            unit=SECONDS,
            width=8,
        ),
        timeseries(
            Text("快照耗时", "Time of a snapshot"),
            Text(
                "一个分区状态的快照，进程启动以来的平均值；0 表示还没有过。",
                "Of one partition's state; the mean since the processes began, 0 while there was none.",
            ),
            _mean("realname_snapshot_seconds"),
            unit=SECONDS,
            width=8,
        ),
        timeseries(
            Text("状态日志", "State logs"),
            Text(
                "恢复时要读的字节数，压缩前。",
                "Bytes that a restore would read, before compression.",
            ),
            Prom("sum by (stage) (realname_state_log_bytes)", _STAGE),
            unit="bytes",
            width=8,
        ),
    ],
)

_REFUSED: Final = Row(
    Text("死信", "Dead letters"),
    9,
    [
        timeseries(
            Text("按原因", "By reason"),
            Text(
                "被拒收的记录；realname dlq list 查看内容。",
                "Records refused, by reject code; `realname dlq list` shows them.",
            ),
            Prom(per_second("realname_records_rejected_total", "code"), "{{code}}"),
            unit=_RECORDS_S,
            width=8,
        ),
        timeseries(
            Text("按来源", "By source"),
            Text(
                "被拒收记录所称的来源，前十。",
                "The sources that refused records name; the first ten.",
            ),
            Prom(
                f"topk(10, {per_second('realname_records_rejected_total', 'source')})",
                "{{source}}",
            ),
            unit=_RECORDS_S,
            width=8,
        ),
        timeseries(
            Text("可疑来源", "Sources flagged"),
            Text(
                "最近一万条记录中过半被拒收的来源数。",
                "Sources of whose last 10,000 records more than half were refused.",
            ),
            Prom("max(realname_sources_flagged)", "来源 sources"),
            unit=COUNT,
            width=8,
        ),
    ],
)

_NOTIFY: Final = Row(
    Text("通知", "Paging"),
    9,
    [
        timeseries(
            Text("距上次送达", "Since the last delivery"),
            Text(
                "各 Alertmanager 上次收齐全部应送告警距现在多久。",
                "How long ago each Alertmanager took all that was due.",
            ),
            Prom(f"time() - {_POSTED}", "{{alertmanager}}"),
            unit=SECONDS,
            width=8,
        ),
        timeseries(
            Text("发送失败", "Failures"),
            Text("将重试的请求，按原因。", "Requests that failed and are tried again, by reason."),
            Prom(
                or_zero(
                    per_second("realname_notify_failures_total", "alertmanager, reason"),
                    "alertmanager",
                    _POSTED,
                ),
                "{{alertmanager}} {{reason}}",
            ),
            unit="reqps",
            width=8,
        ),
        timeseries(
            Text("已发批次", "Batches posted"),
            Text("Alertmanager 已应答的批次。", "Batches of alerts that an Alertmanager answered."),
            Prom(
                per_second("realname_notify_posts_total", "alertmanager, result"),
                "{{alertmanager}} {{result}}",
            ),
            unit="reqps",
            width=8,
        ),
        timeseries(
            Text("发送耗时", "Time of a post"),
            Text("一批告警。", "Of one batch of alerts."),
            *_quantiles("realname_notify_post_seconds", "alertmanager"),
            unit=SECONDS,
            width=8,
        ),
        timeseries(
            Text("在发与被拒", "Kept posted, and refused"),
            Text(
                "持续重发的未结告警；Alertmanager 现在拒收的和累计拒收的。",
                "Open alerts that are posted again and again; those that an Alertmanager refuses now, and "
                "refusals found so far.",
            ),
            Prom("max(realname_notify_alerts)", "未结 open"),
            Prom(
                or_zero(
                    "max by (alertmanager) (realname_notify_alerts_refused)",
                    "alertmanager",
                    _POSTED,
                ),
                "拒收 refused {{alertmanager}}",
            ),
            Prom(
                or_zero(
                    "sum by (alertmanager) (realname_notify_refused_alerts_total)",
                    "alertmanager",
                    _POSTED,
                ),
                "累计 so far {{alertmanager}}",
            ),
            unit=COUNT,
            width=8,
        ),
        timeseries(
            Text("读取告警主题", "Reading the topic of alerts"),
            Text(
                "读到的记录，和距上次收到 Kafka 应答多久。",
                "Records read, and how long ago Kafka was heard.",
            ),
            Prom("sum by (result) (realname_notify_records_total)", "记录 records {{result}}"),
            Prom("time() - max(realname_notify_kafka_heard_timestamp_seconds)", "秒 seconds"),
            unit=COUNT,
            width=8,
        ),
    ],
)

_SERVE: Final = Row(
    Text("看板与接口", "Board and API"),
    9,
    [
        timeline(
            Text("就绪", "Ready"),
            Text("是否已读完各主题。", "Whether the topics have been read to their ends."),
            Prom("max by (instance) (realname_view_ready)", "{{instance}}"),
            mappings=[switch(Text("读取中", "Reading"), Text("就绪", "Ready"), bad=False)],
            width=8,
        ),
        timeseries(
            Text("视图积压", "Lag of the view"),
            Text("尚未读取的记录。", "Records not read yet."),
            Prom("max by (topic) (realname_view_lag_records)", "{{topic}}"),
            unit=COUNT,
            width=8,
        ),
        timeseries(
            Text("距最新数据", "Since the newest figures"),
            Text("Kafka 收到最新数据距现在多久。", "How long ago Kafka had the newest rates."),
            Prom(f"time() - {once('realname_view_received_timestamp_seconds')}", "秒 seconds"),
            unit=SECONDS,
            width=8,
        ),
        timeseries(
            Text("请求", "Requests"),
            Text("按路径和状态码。", "By route and status code."),
            Prom(per_second("realname_serve_requests_total", "route, code"), "{{route}} {{code}}"),
            unit="reqps",
            width=8,
        ),
        timeseries(
            Text("应答耗时", "Time of an answer"),
            Text("到应答开始为止。", "Until an answer begins."),
            *_quantiles("realname_serve_request_seconds", "route"),
            unit=SECONDS,
            width=8,
        ),
        timeseries(
            Text("视图读取与连接", "The view's reading, and boards"),
            Text(
                "每秒读到的记录、读不懂的记录数、在线看板数。",
                "Records read a second, records that could not be read, and boards that are connected.",
            ),
            Prom(per_second("realname_view_records_total", "topic"), "每秒 a second {{topic}}"),
            Prom("max(realname_view_invalid_records)", "读不懂 unreadable"),
            Prom("sum(realname_serve_streams)", "看板 boards"),
            unit=COUNT,
            width=8,
        ),
    ],
)

_GATEWAY: Final = Row(
    Text("接入网关", "Gateway"),
    9,
    [
        timeseries(
            Text("请求", "Requests"),
            Text(
                "企业批次，按状态码；429 和 503 为稍后重发。",
                "Batches of enterprises by status code; 429 and 503 are put off.",
            ),
            Prom(per_second("realname_gateway_requests_total", "code", route=ROUTE), "{{code}}"),
            unit="reqps",
            width=8,
        ),
        timeseries(
            Text("应答耗时", "Time of an answer"),
            Text("含 Kafka 确认。", "With Kafka's acknowledgement."),
            *_quantiles("realname_gateway_request_seconds", "route"),
            unit=SECONDS,
            width=8,
        ),
        timeseries(
            Text("接收的记录", "Records accepted"),
            Text("按企业。", "By enterprise."),
            Prom(
                per_second("realname_gateway_records_total", "enterprise", code=ACCEPTED),
                "{{enterprise}}",
            ),
            unit=_RECORDS_S,
            width=8,
        ),
        timeseries(
            Text("拒收占比", "Share rejected"),
            Text(
                "各企业被拒收的记录占比。",
                "Share of each enterprise's records that is rejected.",
            ),
            Prom(
                f"1 - {per_second('realname_gateway_records_total', 'enterprise', code=ACCEPTED)} / "
                f"({per_second('realname_gateway_records_total', 'enterprise')} > 0)",
                "{{enterprise}}",
            ),
            unit="percentunit",
            width=8,
        ),
        timeseries(
            Text("在途", "Under way"),
            Text(
                "尚未得到 Kafka 确认的批次，和每秒未确认的批次。",
                "Batches that Kafka has not acknowledged yet, and those a second that it will not.",
            ),
            Prom("sum(realname_gateway_waiting_batches)", "等待 waiting"),
            Prom(
                "sum(rate(realname_gateway_batches_unacknowledged_total[$__rate_interval]))"
                " or 0 * sum(realname_gateway_waiting_batches)",
                "未确认 unacknowledged",
            ),
            unit=COUNT,
            width=8,
        ),
        timeseries(
            Text("占用内存", "Bytes held"),
            Text(
                "处理中的请求占用的内存；超出预算即答复 429。",
                "Of requests under way; what goes beyond the budget is answered with 429.",
            ),
            Prom("max by (instance) (realname_gateway_held_bytes)", "{{instance}}"),
            unit="bytes",
            width=8,
        ),
    ],
)

_PROCESSES: Final = Row(
    Text("进程资源", "Processes"),
    8,
    [
        timeseries(
            Text("内存", "Memory"),
            Text("常驻内存。", "Resident memory."),
            Prom('process_resident_memory_bytes{job=~"realname-.*"}', "{{job}} {{instance}}"),
            unit="bytes",
        ),
        timeseries(
            Text("时钟偏差", "Difference of clocks"),
            Text(
                "Kafka 的时钟比工作进程快多少；负值为慢。",
                "How far Kafka's clock is ahead of a worker's; below 0 it is behind.",
            ),
            Prom("realname_kafka_clock_ahead_seconds", "{{instance}}"),
            unit=SECONDS,
        ),
        timeseries(
            Text("启动", "Starts"),
            Text(
                "一刻钟内的启动次数；反复启动说明失去位置或出错。",
                "Starts within a quarter of an hour; many are a place lost again and again, or a fault.",
            ),
            Prom(
                'max by (job, instance) (changes(process_start_time_seconds{job=~"realname-.*"}[15m]))',
                "{{job}} {{instance}}",
            ),
            unit=COUNT,
        ),
        timeseries(
            Text("处理器", "Processor"),
            Text("占用的核数；1 为一个核占满。", "Cores in use; 1 is one core, busy all the time."),
            Prom(
                'rate(process_cpu_seconds_total{job=~"realname-.*"}[$__rate_interval])',
                "{{job}} {{instance}}",
            ),
            unit="none",
        ),
    ],
)

PIPELINE: Final = Dashboard(
    uid="realname-pipeline",
    title=Text("处理链路", "Pipeline"),
    about=Text(
        "工作进程、通知、看板和接入网关的进度、提交、恢复、死信与资源。",
        "Progress, commits, restores, dead letters and resources of workers, notify, serve and gateway.",
    ),
    since="now-3h",
    rows=[_OVERVIEW, _PROGRESS, _STATE, _REFUSED, _NOTIFY, _SERVE, _GATEWAY, _PROCESSES],
)
