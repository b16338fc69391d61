/** Upper bounds of latency buckets, in seconds: around the 5, 15 and 50 ms the services promise. */
const LATENCY_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.5, 1] as const;

type Labels = Readonly<Record<string, string>>;

export interface Metrics {
  /** Adds one to a counter. Label values must come from a fixed set, never from a request. */
  count(name: string, labels?: Labels): void;
  observeSeconds(name: string, seconds: number): void;
  /** A value that may fall again, read when the page is rendered. */
  gauge(name: string, read: () => number): void;
  /** Prometheus text exposition format 0.0.4. */
  render(): string;
}

interface Histogram {
  readonly counts: number[];
  sum: number;
  total: number;
}

export function createMetrics(prefix: string): Metrics {
  const counters = new Map<string, Map<string, number>>();
  const histograms = new Map<string, Histogram>();
  const gauges = new Map<string, () => number>();
  return {
    gauge(name, read) {
      gauges.set(name, read);
    },
    count(name, labels = {}) {
      const series = counters.get(name) ?? new Map<string, number>();
      counters.set(name, series);
      const key = renderLabels(labels);
      series.set(key, (series.get(key) ?? 0) + 1);
    },
    observeSeconds(name, seconds) {
      const histogram = histograms.get(name) ?? { counts: LATENCY_BUCKETS.map(() => 0), sum: 0, total: 0 };
      histograms.set(name, histogram);
      LATENCY_BUCKETS.forEach((bound, index) => {
        if (seconds <= bound) histogram.counts[index] = (histogram.counts[index] ?? 0) + 1;
      });
      histogram.sum += seconds;
      histogram.total += 1;
    },
    render: () =>
      [
        ...[...counters].flatMap(([name, series]) => renderCounter(`${prefix}_${name}`, series)),
        ...[...gauges].flatMap(([name, read]) => [`# TYPE ${prefix}_${name} gauge`, `${prefix}_${name} ${read()}`]),
        ...[...histograms].flatMap(([name, histogram]) => renderHistogram(`${prefix}_${name}`, histogram)),
        "",
      ].join("\n"),
  };
}

function renderLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function renderCounter(name: string, series: ReadonlyMap<string, number>): string[] {
  return [`# TYPE ${name} counter`, ...[...series].map(([labels, value]) => `${name}${labels} ${value}`)];
}

function renderHistogram(name: string, { counts, sum, total }: Histogram): string[] {
  return [
    `# TYPE ${name} histogram`,
    ...LATENCY_BUCKETS.map((bound, index) => `${name}_bucket{le="${bound}"} ${counts[index] ?? 0}`),
    `${name}_bucket{le="+Inf"} ${total}`,
    `${name}_sum ${sum}`,
    `${name}_count ${total}`,
  ];
}
