/** One thing that was measured, some times over. */
export interface Figure {
  /** How it is named in `results/latest.json`. */
  readonly id: string;
  /** The same for people. */
  readonly what: string;
  readonly unit: string;
  readonly runs: readonly number[];
  /** Ids of the figures that this one stands beside: what the machine gives at most, or what a user would pick instead. */
  readonly ceilings?: readonly string[] | undefined;
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
  /** What could not be measured here, and why. */
  readonly leftOut = new Map<string, string>();

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

  /** Measures what may not be had here; false where it could not be: then that is told, and what it has told before stays. */
  async orLeaveOut(what: string, measure: () => Promise<void>): Promise<boolean> {
    try {
      await measure();
      return true;
    } catch (error) {
      // A program says last why it ended.
      const why = (error instanceof Error ? error.message : String(error)).trim().split('\n').at(-1) ?? '';
      this.leftOut.set(what, why);
      process.stderr.write(`${what} is left out: ${why}\n`);
      return false;
    }
  }

  /**
   * A figure as a share of another: the median over runs that stood side by side, so that a machine whose speed
   * drifts does not show; of the medians where their numbers differ. Undefined where one of them was not measured.
   */
  shareOf(id: string, ceilingId: string): number | undefined {
    const figure = this.figures.get(id);
    const ceiling = this.figures.get(ceilingId);
    if (figure === undefined || ceiling === undefined) return undefined;
    if (figure.runs.length !== ceiling.runs.length) return median(figure.runs) / median(ceiling.runs);
    return median(figure.runs.map((run, i) => run / (ceiling.runs[i] ?? NaN)));
  }

  /** A figure's shares of those of its ceilings that were measured. */
  private sharesOf({ id, ceilings = [] }: Figure): readonly (readonly [ceiling: Figure, share: number])[] {
    return ceilings.flatMap((ceilingId) => {
      const ceiling = this.figures.get(ceilingId);
      const share = this.shareOf(id, ceilingId);
      return ceiling === undefined || share === undefined ? [] : [[ceiling, share] as const];
    });
  }

  /** All of it for programs. */
  toJSON(): Record<string, object> {
    return Object.fromEntries(
      [...this.figures.values()].map((figure) => {
        const { id, what, unit, aim, runs } = figure;
        const shares = Object.fromEntries(this.sharesOf(figure).map(([ceiling, share]) => [ceiling.id, share]));
        const whole = { what, unit, aim, median: median(runs), runs };
        return [id, Object.keys(shares).length === 0 ? whole : { ...whole, shares }];
      }),
    );
  }

  /** All of it as a table for people. */
  toMarkdown(): string {
    const lines = [...this.figures.values()].map((figure) => {
      const { what, unit, runs, aim } = figure;
      const of = this.sharesOf(figure).map(([ceiling, share]) => `${share.toFixed(2)} of ${ceiling.what}`);
      const spread = runs.length > 1 ? `${inWords(Math.min(...runs))} to ${inWords(Math.max(...runs))}` : '';
      return `| ${[what, `${inWords(median(runs))} ${unit}`, spread, of.join('; '), aim ?? ''].join(' | ')} |`;
    });
    const head = ['| what | median | lowest to highest | share | aim |', '| --- | ---: | --- | --- | --- |'];
    const leftOut = [...this.leftOut].map(([what, why]) => `\nLeft out: ${what}. ${why}`);
    return [...head, ...lines, ...leftOut].join('\n');
  }
}
