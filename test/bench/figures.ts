/** One thing that was measured, some times over. */
export interface Figure {
  /** How it is named in `results/latest.json`. */
  readonly id: string;
  /** The same for people. */
  readonly what: string;
  readonly unit: string;
  readonly runs: readonly number[];
  /** Id of the figure that bounds this one: of the machine, or of what it is compared with. */
  readonly ceiling?: string | undefined;
  /** What is aimed at, in words. */
  readonly aim?: string | undefined;
}

/** What a figure is about, before it is measured. */
export type Measured = Omit<Figure, 'runs'>;

/** Seconds that an act takes. */
export async function seconds(act: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await act();
  return (performance.now() - startedMs) / 1000;
}

/** The middle of some numbers, NaN of none. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >>> 1] ?? NaN;
}

const inWords = (value: number) =>
  (Math.abs(value) >= 100
    ? Math.round(value)
    : Math.round(value * (Math.abs(value) >= 10 ? 10 : 100)) / (Math.abs(value) >= 10 ? 10 : 100)
  ).toLocaleString('en');

/** Gathers what is measured, tells it as it comes, and writes it down. */
export class Figures {
  private readonly figures = new Map<string, Figure>();

  /** A run of a figure more. */
  add(measured: Measured, run: number): void {
    const runs = [...(this.figures.get(measured.id)?.runs ?? []), run];
    this.figures.set(measured.id, { ...measured, runs });
    process.stderr.write(`${measured.what.padEnd(64)}${inWords(run).padStart(10)} ${measured.unit}\n`);
  }

  /** How much a second an act does of an amount. */
  async rate(measured: Measured, amount: number, act: () => Promise<unknown>): Promise<void> {
    this.add(measured, amount / (await seconds(act)));
  }

  /**
   * A figure as a share of its ceiling: the median over runs that stood side by side, so that a machine whose speed
   * drifts does not show; of the medians where their numbers differ. Undefined where it has none or it was not measured.
   */
  shareOf(id: string): number | undefined {
    const figure = this.figures.get(id);
    const ceiling = this.figures.get(figure?.ceiling ?? '');
    if (figure === undefined || ceiling === undefined) return undefined;
    if (figure.runs.length !== ceiling.runs.length) return median(figure.runs) / median(ceiling.runs);
    return median(figure.runs.map((run, i) => run / (ceiling.runs[i] ?? NaN)));
  }

  /** All of it for programs. */
  toJSON(): Record<string, object> {
    return Object.fromEntries(
      [...this.figures.values()].map(({ id, runs, ...figure }) => {
        const share = this.shareOf(id);
        return [id, { ...figure, median: median(runs), runs, ...(share === undefined ? {} : { share }) }];
      }),
    );
  }

  /** All of it as a table for people. */
  toMarkdown(): string {
    const lines = [...this.figures.values()].map((figure) => {
      const { id, what, unit, runs, ceiling, aim } = figure;
      const share = this.shareOf(id);
      const of = share === undefined ? '' : `${share.toFixed(2)} of ${this.figures.get(ceiling ?? '')?.what ?? ''}`;
      const spread = runs.length > 1 ? `${inWords(Math.min(...runs))} to ${inWords(Math.max(...runs))}` : '';
      return `| ${[what, `${inWords(median(runs))} ${unit}`, spread, of, aim ?? ''].join(' | ')} |`;
    });
    return ['| what | median | lowest to highest | share | aim |', '| --- | ---: | --- | --- | --- |', ...lines].join(
      '\n',
    );
  }
}
