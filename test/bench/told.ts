import type { Figures, Measured } from './figures.js';

/** A line that a program in Python prints. */
interface Told extends Measured {
  readonly value: number;
}

/** Adds figures that a program printed, a line of JSON each. */
export function addTold(figures: Figures, printed: string): void {
  for (const line of printed.trim().split('\n')) {
    const { value, ...measured } = JSON.parse(line) as Told;
    figures.add(measured, value);
  }
}
