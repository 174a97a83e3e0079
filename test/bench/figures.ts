/** Seconds that an act takes. */
export async function seconds(act: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await act();
  return (performance.now() - startedMs) / 1000;
}

/** Measures a rate several times: how often a second, or MB a second. */
export async function rates(times: number, amount: number, act: () => Promise<unknown>): Promise<number[]> {
  const measured: number[] = [];
  for (let i = 0; i < times; i++) measured.push(amount / (await seconds(act)));
  return measured;
}

/** One line of the report: median, and from lowest to highest. */
export function report(name: string, measured: readonly number[], unit: string): number {
  const sorted = [...measured].sort((a, b) => a - b);
  const median = sorted[sorted.length >>> 1] ?? NaN;
  const round = (value: number) =>
    (value >= 100 ? Math.round(value) : Math.round(value * 10) / 10).toLocaleString('en');
  const spread = sorted.length > 1 ? `   (${round(sorted[0] ?? NaN)} to ${round(sorted.at(-1) ?? NaN)})` : '';
  process.stdout.write(`${name.padEnd(58)}${round(median).padStart(10)} ${unit}${spread}\n`);
  return median;
}
