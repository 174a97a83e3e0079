import { RevisionKind, type Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Filter } from '../../filter/filter.js';
import { factsOf, holdsFor, type Facts } from '../../filter/matches.js';
import { FACTS_COUNT_MAX } from '../../limits.js';
import { compareKeys } from '../../text-order.js';
import type { ListQuery } from '../backend.js';

/** Texts that many results share are kept once; so many different ones are remembered for it. */
const SHARED_TEXTS_MAX = 10_000;

/**
 * What filters ask of each result, in memory: a filter that few results pass is then no scan of the index on disk. A store
 * of more results than FACTS_COUNT_MAX does without it.
 */
export class FactsIndex {
  private facts: Map<string, Facts> | undefined = new Map<string, Facts>();
  private readonly texts = new Map<string, string>();
  /** Keys that have changed while it is filled; undefined: it is not being filled. */
  private changed: Set<string> | undefined;

  /** Is of no use until all that is stored was filled in: meanwhile it takes changes. */
  beginFilling(): void {
    this.changed = new Set();
  }

  /** Takes what is stored, unless it was changed since. */
  fill(manifest: Manifest): void {
    if (manifest.kind === RevisionKind.COMMITTED && this.changed?.has(manifest.key) === false) this.keep(manifest);
  }

  /** All that is stored was filled in. */
  endFilling(): void {
    this.changed = undefined;
  }

  /** Takes a key's newest result. */
  set(manifest: Manifest): void {
    this.changed?.add(manifest.key);
    this.keep(manifest);
  }

  private keep(manifest: Manifest): void {
    if (this.facts === undefined) return;
    const facts = factsOf(manifest);
    const tags = Object.entries(facts.tags).map(([name, value]) => [this.shared(name), this.shared(value)] as const);
    // Into the same object: see factsOf on spreads.
    const kept: Facts = Object.assign(facts, {
      // Up to 64 KiB, and seldom asked for: looked up on disk.
      description: '',
      problem: facts.problem === undefined ? undefined : this.shared(facts.problem),
      solver: facts.solver === undefined ? undefined : this.shared(facts.solver),
      tags: Object.fromEntries(tags),
    });
    this.facts.set(manifest.key, kept);
    if (this.facts.size > FACTS_COUNT_MAX) this.facts = undefined;
  }

  /** Forgets a key that has no result any more. */
  delete(key: string): void {
    this.changed?.add(key);
    this.facts?.delete(key);
  }

  /** Does without facts from now on. */
  giveUp(): void {
    this.facts = undefined;
  }

  /** Keys of the results that a query is about, in its order; undefined where that can't be told from here. */
  keys({ prefix, filter, orderBy, descending, after }: ListQuery): string[] | undefined {
    if (this.facts === undefined || this.changed !== undefined || filter === undefined || asksDescription(filter))
      return undefined;
    const timeOf = (facts: Facts) =>
      orderBy === 'key' ? 0n : orderBy === 'commit_time' ? facts.commitTime : facts.updateTime;
    const sign = descending ? -1 : 1;
    const compare = (aTime: bigint, aKey: string, bTime: bigint, bKey: string) =>
      sign * (aTime === bTime ? compareKeys(aKey, bKey) : aTime < bTime ? -1 : 1);
    const found: Facts[] = [];
    for (const facts of this.facts.values()) {
      if (!facts.key.startsWith(prefix) || !holdsFor(filter, facts)) continue;
      if (after === undefined || compare(timeOf(facts), facts.key, after.time, after.key) > 0) found.push(facts);
    }
    return found.sort((a, b) => compare(timeOf(a), a.key, timeOf(b), b.key)).map(({ key }) => key);
  }

  private shared(text: string): string {
    const known = this.texts.get(text);
    if (known !== undefined) return known;
    if (this.texts.size < SHARED_TEXTS_MAX) this.texts.set(text, text);
    return text;
  }
}

function asksDescription(filter: Filter): boolean {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return filter.parts.some(asksDescription);
    case 'not':
      return asksDescription(filter.part);
    case 'comparison':
      return filter.field.name === 'description';
    default:
      return filter satisfies never;
  }
}
