"use strict";

// Every word of the board in both languages, and how figures and times are written.

const WORDS = {
  zh: {
    subject: "实名收寄",
    skip: "跳到正文",
    language: "English",
    languageLabel: "Switch to English",
    themeDark: "深色",
    themeLight: "浅色",
    signin: "请输入访问令牌",
    token: "令牌（rns_…）",
    open: "打开看板",
    badToken: "这个令牌不被接受，请向看板的管理者索取。",
    curve: "当日走势",
    alerts: "当前告警",
    worst: "低于目标的网点",
    foot: "实名率 = 已实名 ÷ 已到期邮件。未到期的邮件，无论是否实名，都不计入。",
    headline: (scope, date) => `${scope}实名率 · ${date}`,
    areas: { CITY: "各盟市", COUNTY: "各旗县区", ENTERPRISE_CITY: "各盟市", OUTLET: "各网点" },
    target: "目标",
    today: "当日",
    before: "前一日",
    above: (gap) => `高于目标 ${gap} 个百分点`,
    below: (gap) => `低于目标 ${gap} 个百分点`,
    noRate: "尚无到期邮件",
    status: {
      OK: "达标", AT_RISK: "有风险", BREACH: "不达标", INSUFFICIENT: "件数不足",
      UNKNOWN: "静默", NONE: "无数据",
    },
    severity: { CRITICAL: "特急", MAJOR: "严重", MINOR: "一般", INFO: "提示" },
    mature: "已到期", missing: "漏录", pending: "待录", onTime: "及时率", yesterday: "前一日",
    eligible: "应实名",
    judgedOn: (what, rate, target) => `${what}：${rate}，目标 ${target}`,
    alertsOpen: (n) => `${n} 条告警`,
    level: { L1: "一级", L2: "二级", L3: "三级", ROUTINE: "日常" },
    phase: { PRE: "前期", CORE: "会期", POST: "后期" },
    day: (day, days) => `第 ${day} 天，共 ${days} 天`,
    noEvent: "当前无重大活动，按日常目标",
    category: {
      LOOSE: "散件", AGREEMENT: "协议件", ECOMMERCE: "电商件", TEMP_BATCH: "临时批量件",
      OVERSEAS_REFORWARD: "境外转寄件", WAREHOUSE_DIRECT: "仓储直发件", UNCLASSIFIED: "未分类件",
      EXEMPT: "免实名件", OVERSEAS_INBOUND: "境外进口件",
    },
    alert: {
      below: (rate, target) => `实名率 ${rate}，低于目标 ${target}`,
      atRisk: (rate, target) => `实名率 ${rate}，疑低于目标 ${target}`,
      missing: (missing, n) => `漏录\u00a0${missing}/${n}`,
      silent: (n) => `收寄 ${n} 件，无一实名上报`,
      collapse: (share) => `${share} 的网点同时不达标`,
      of: (what) => `仅计${what}`,
    },
    clearing: "正在恢复",
    since: (at, span) => `${at} 起，已 ${span}`,
    acked: (by, note) => `${by} 已接手${note ? `：${note}` : ""}`,
    noAlerts: "当前没有告警。",
    noWorst: "已判定的网点全部达标。",
    noPoints: "走势自看板启动后开始记录。",
    column: { outlet: "网点", rate: "实名率", target: "目标", missing: "漏录" },
    more: (n) => `另有 ${n} 条，全部显示`,
    fewer: "收起",
    asOf: (at) => `数据截至 ${at}`,
    received: (span) => `${span}前更新`,
    reading: "正在读取数据",
    readingText: "看板刚刚启动，正在从头读取已发布的数字，通常只需几秒。",
    empty: "尚无数据",
    emptyText: "已经连上，但还没有任何已发布的实名率。收到第一批邮件后约一分钟出现。",
    noScope: "没有您可见的数据。",
    stale: (span) => `数据已 ${span}没有更新，下面不是最新数字。请检查处理程序是否在运行。`,
    staleShort: "数据过期",
    lost: (at) => `与服务器的连接自 ${at} 起中断，下面是当时的数字。正在重新连接……`,
    lostShort: "连接中断",
    connecting: "正在连接",
    connected: "已连接",
    newAlert: (what) => `新告警：${what}`,
    curveText: (from, at, to, target) => `${from} 起，至 ${at} 为 ${to}，目标 ${target}。`,
    time: "时间",
    breaching: (n) => `不达标 ${n} 家`,
    comma: "，",
  },
  en: {
    subject: "real-name registration",
    skip: "Skip to the figures",
    language: "中文",
    languageLabel: "切换到中文",
    themeDark: "Dark",
    themeLight: "Light",
    signin: "Enter your access token",
    token: "Token (rns_…)",
    open: "Open the board",
    badToken: "This token is not accepted. Ask whoever runs this board for one.",
    curve: "The day so far",
    alerts: "Open alerts",
    worst: "Outlets below target",
    foot: "Rate = registered ÷ mature parcels. Parcels whose time to register has not run out are left out, registered or not.",
    headline: (scope, date) => `Real-name rate, ${scope} · ${date}`,
    areas: { CITY: "Cities", COUNTY: "Counties", ENTERPRISE_CITY: "Cities", OUTLET: "Outlets" },
    target: "Target",
    today: "This day",
    before: "Day before",
    above: (gap) => `${gap} points above target`,
    below: (gap) => `${gap} points below target`,
    noRate: "No mature parcels yet",
    status: {
      OK: "On target", AT_RISK: "At risk", BREACH: "Off target", INSUFFICIENT: "Too few",
      UNKNOWN: "Silent", NONE: "No data",
    },
    severity: { CRITICAL: "Critical", MAJOR: "Major", MINOR: "Minor", INFO: "Info" },
    mature: "Mature", missing: "Missing", pending: "Pending", onTime: "On time",
    yesterday: "Day before", eligible: "Collected",
    judgedOn: (what, rate, target) => `${what}: ${rate}, target ${target}`,
    alertsOpen: (n) => (n === 1 ? "1 alert" : `${n} alerts`),
    level: { L1: "Level 1", L2: "Level 2", L3: "Level 3", ROUTINE: "Routine" },
    phase: { PRE: "before", CORE: "under way", POST: "after" },
    day: (day, days) => `day ${day} of ${days}`,
    noEvent: "No event period; the routine target holds",
    category: {
      LOOSE: "loose parcels", AGREEMENT: "agreement parcels", ECOMMERCE: "e-commerce parcels",
      TEMP_BATCH: "temporary batches", OVERSEAS_REFORWARD: "reforwarded from overseas",
      WAREHOUSE_DIRECT: "sent from warehouses", UNCLASSIFIED: "unclassified parcels",
      EXEMPT: "exempt parcels", OVERSEAS_INBOUND: "overseas inbound parcels",
    },
    alert: {
      below: (rate, target) => `${rate}, below target ${target}`,
      atRisk: (rate, target) => `${rate}, perhaps below target ${target}`,
      missing: (missing, n) => `${missing} of ${n} missing`,
      silent: (n) => `${n} parcels collected, not one registered`,
      collapse: (share) => `${share} of the outlets below target at once`,
      of: (what) => `${what} only`,
    },
    clearing: "recovering",
    since: (at, span) => `since ${at}, ${span}`,
    acked: (by, note) => `taken on by ${by}${note ? `: ${note}` : ""}`,
    noAlerts: "No alert is open.",
    noWorst: "Every outlet that can be judged is on target.",
    noPoints: "The curve begins when the board is started.",
    column: { outlet: "Outlet", rate: "Rate", target: "Target", missing: "Missing" },
    more: (n) => `${n} more; show all`,
    fewer: "Show fewer",
    asOf: (at) => `Figures as of ${at}`,
    received: (span) => `updated ${span} ago`,
    reading: "Reading the figures",
    readingText: "The board has just started and reads what has been published so far. This takes a few seconds.",
    empty: "No figures yet",
    emptyText: "Connected, but no rate has been published. The first appear about a minute after the first parcels.",
    noScope: "There is nothing yet that you may see.",
    stale: (span) => `No new figures for ${span}: what stands here is not the present. Check that the workers run.`,
    staleShort: "Stale",
    lost: (at) => `Connection lost at ${at}; the figures are from then. Trying to connect again …`,
    lostShort: "Connection lost",
    connecting: "Connecting",
    connected: "Connected",
    newAlert: (what) => `New alert: ${what}`,
    curveText: (from, at, to, target) => `From ${from} to ${at}, when it was ${to}; target ${target}.`,
    time: "Time",
    breaching: (n) => `${n} in breach`,
    comma: ", ",
  },
};

const UNITS = { zh: ["天", "小时", "分", "秒"], en: ["d", "h", "min", "s"] };

/** A rate in per cent, cut and not rounded: 94.999 % must not read as a target of 95 that is met. */
function percent(rate, digits = 2) {
  if (rate === null || rate === undefined) return "–";
  if (rate === 1) return "100%";
  const steps = 10 ** digits;
  return `${(Math.floor(rate * 100 * steps + 1e-6) / steps).toFixed(digits)}%`;
}

/** A target as it is written: without needless decimals. */
function targetText(rate) {
  return rate === null || rate === undefined ? "–" : `${Number((rate * 100).toFixed(2))}%`;
}

/** The size of a difference of rates in points, as between the figures shown: a rate is cut there, too. */
function points(difference) {
  return (Math.abs(Math.floor(difference * 10000 + 1e-6)) / 100).toFixed(2);
}

function count(number, language) {
  return number.toLocaleString(language === "zh" ? "zh-CN" : "en-GB");
}

/** A span of time in its two greatest units. */
function span(milliseconds, language) {
  let seconds = Math.max(Math.floor(milliseconds / 1000), 0);
  const parts = [86400, 3600, 60, 1].map((size) => {
    const whole = Math.floor(seconds / size);
    seconds -= whole * size;
    return whole;
  });
  const first = parts.findIndex((part) => part > 0);
  if (first < 0) return `0 ${UNITS[language][3]}`;
  return parts
    .map((part, index) => [part, index])
    .filter(([part, index]) => part > 0 && index >= first && index <= first + 1)
    .map(([part, index]) => `${part} ${UNITS[language][index]}`)
    .join(" ");
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** A business day, YYYY-MM-DD. */
function dayText(date, language) {
  const [, month, day] = date.split("-").map(Number);
  return language === "zh" ? `${month}月${day}日` : `${day} ${MONTHS[month - 1]}`;
}

/** An instant of a record. It is in Shanghai time already, wherever the screen hangs. */
function instantText(instant, language, beside) {
  const clock = instant.slice(11, 16);
  if (beside && instant.slice(0, 10) === beside.slice(0, 10)) return clock;
  return `${dayText(instant.slice(0, 10), language)} ${clock}`;
}
