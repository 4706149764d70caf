/** How long things take: of each kind the last thousand. */

const REMEMBERED = 1000;

export class Times {
  readonly #times = new Map<string, number[]>();
  readonly #counts = new Map<string, number>();

  /** What `work` comes to; how long it took is remembered under a name, if it succeeds. */
  async measured<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    const start = performance.now();
    const result = await work();
    const times = this.#times.get(name) ?? [];
    const count = this.#counts.get(name) ?? 0;
    times[count % REMEMBERED] = performance.now() - start;
    this.#times.set(name, times);
    this.#counts.set(name, count + 1);
    return result;
  }

  /** Of each name how often it happened, and the median and 95th percentile in milliseconds. */
  summary(): Record<string, { count: number; p50_ms: number; p95_ms: number }> {
    return Object.fromEntries(
      [...this.#times].map(([name, times]) => {
        const sorted = times.toSorted((one, other) => one - other);
        const at = (share: number) => Number(sorted[Math.ceil(share * sorted.length) - 1]!.toFixed(3));
        return [name, { count: this.#counts.get(name)!, p50_ms: at(0.5), p95_ms: at(0.95) }];
      }),
    );
  }
}
