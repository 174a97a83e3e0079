import type { Runs, RunSource } from './runs.js';

/** Rows in any of the sets. */
export function union(sets: readonly RunSource[]): RunSource {
  return balanced(sets, (a, b) => () => new Union(a(), b()));
}

/** Rows in all of the sets. */
export function intersection(sets: readonly RunSource[]): RunSource {
  return balanced(sets, (a, b) => () => new Intersection(a(), b()));
}

/** Rows in the first set and in none of the others. */
export function difference([first, ...others]: readonly [RunSource, ...RunSource[]]): RunSource {
  if (others.length === 0) return first;
  const without = union(others);
  return () => new Difference(first(), without());
}

/** Joins many by twos, and those by twos: a run of one passes through few others. */
function balanced(sets: readonly RunSource[], join: (a: RunSource, b: RunSource) => RunSource): RunSource {
  const [first, second] = sets;
  if (first === undefined) throw new RangeError('a set operation has a set');
  if (second === undefined) return first;
  const middle = sets.length >>> 1;
  return join(balanced(sets.slice(0, middle), join), balanced(sets.slice(middle), join));
}

class Union implements Runs {
  first = 0;
  end = 0;
  private hasA: boolean;
  private hasB: boolean;

  constructor(
    private readonly a: Runs,
    private readonly b: Runs,
  ) {
    this.hasA = a.advance();
    this.hasB = b.advance();
  }

  advance(): boolean {
    const { a, b } = this;
    if (!this.hasA && !this.hasB) return false;
    this.first = Math.min(this.hasA ? a.first : Infinity, this.hasB ? b.first : Infinity);
    let end = this.first;
    for (;;) {
      if (this.hasA && a.first <= end) {
        end = Math.max(end, a.end);
        this.hasA = a.advance();
      } else if (this.hasB && b.first <= end) {
        end = Math.max(end, b.end);
        this.hasB = b.advance();
      } else {
        this.end = end;
        return true;
      }
    }
  }
}

class Intersection implements Runs {
  first = 0;
  end = 0;
  private hasBoth: boolean;

  constructor(
    private readonly a: Runs,
    private readonly b: Runs,
  ) {
    this.hasBoth = a.advance() && b.advance();
  }

  advance(): boolean {
    const { a, b } = this;
    while (this.hasBoth) {
      this.first = Math.max(a.first, b.first);
      this.end = Math.min(a.end, b.end);
      const isFound = this.first < this.end;
      this.hasBoth = a.end <= b.end ? a.advance() : b.advance();
      if (isFound) return true;
    }
    return false;
  }
}

class Difference implements Runs {
  first = 0;
  end = 0;
  /** What is left of the run of `a`: from here to its end. */
  private from = 0;
  private hasA: boolean;
  private hasB: boolean;

  constructor(
    private readonly a: Runs,
    private readonly b: Runs,
  ) {
    this.hasA = a.advance();
    this.hasB = b.advance();
    this.from = a.first;
  }

  advance(): boolean {
    const { a, b } = this;
    while (this.hasA) {
      while (this.hasB && b.end <= this.from) this.hasB = b.advance();
      this.first = this.from;
      this.end = this.hasB ? Math.min(a.end, b.first) : a.end;
      this.from = this.hasB ? Math.max(b.end, this.first) : a.end;
      if (this.from >= a.end || this.end === a.end) this.nextOfA();
      if (this.first < this.end) return true;
    }
    return false;
  }

  private nextOfA(): void {
    this.hasA = this.a.advance();
    this.from = this.a.first;
  }
}
