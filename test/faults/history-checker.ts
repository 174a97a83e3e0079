/** What a key holds. */
export interface Content {
  /** Which saves wrote the rows, in order: one, and each append behind it. */
  readonly writers: readonly string[];
  readonly rowCount: number;
  readonly tag: string;
}

/** What a client asked of a key. */
export type Call =
  | { readonly do: 'save'; readonly content: Content; readonly expected?: number }
  /** Its content is what it adds, behind the `base` rows that it was told of as it was opened. */
  | { readonly do: 'append'; readonly content: Content; readonly base: number }
  | { readonly do: 'update'; readonly tag: string; readonly expected?: number }
  | { readonly do: 'delete'; readonly expected?: number }
  /** A get, a load of the newest, or a list as far as it concerns this key. */
  | { readonly do: 'read' }
  | { readonly do: 'read revision'; readonly revision: number }
  /** A change that a watcher was told of, or a read that says it may be stale: it is, or once was, so. */
  | { readonly do: 'hear' };

/** What came of it. */
export type Answer =
  | { readonly is: 'done'; readonly revision: number }
  /** Only what the answer says of the content; no content: the revision is a deletion. No revision: it is not said. */
  | { readonly is: 'found'; readonly revision: number | undefined; readonly content: Partial<Content> | undefined }
  | { readonly is: 'absent' | 'mismatch' }
  /** No answer, or an error that leaves open whether it happened. */
  | { readonly is: 'unknown' };

/** A call on one key, as its client saw it. It took effect, if it did, between its begin and its end. */
export interface Operation {
  readonly client: string;
  readonly call: Call;
  readonly answer: Answer;
  readonly begin: number;
  readonly end: number;
}

/** Changes that a violation names: who reads it sees which of them is missing. */
const SHOWN_CHANGES = 12;

/** A history that no order of its calls explains. */
export class HistoryViolation extends Error {
  override readonly name = 'HistoryViolation';
}

/** A key at a moment: its revision, and all before. */
interface Version {
  /** The same for the same versions in the same order. */
  readonly id: number;
  readonly revision: number;
  readonly content: Content | undefined;
  readonly before: Version | undefined;
}

/**
 * Fails with HistoryViolation unless the calls on one key can be put in an order that explains every answer: each at one moment between
 * its begin and its end, changes one behind the other, every read as of the last change before it. As Wing and Gong search it, with
 * Lowe's memory of what was tried.
 */
export function checkKeyHistory(key: string, operations: readonly Operation[]): void {
  new Search(key, operations).run();
}

/** What comes next: a change, or that one of which no answer came did not happen. */
interface Choice {
  readonly operation: number;
  readonly happens: boolean;
}

/** A choice of the search, and what to take back when it was wrong. */
interface Frame {
  readonly state: Version;
  readonly choices: readonly Choice[];
  next: number;
  readonly placed: number[];
}

class Search {
  private readonly operations: readonly Operation[];
  private readonly isPlaced: boolean[];
  private readonly tried = new Set<string>();
  private readonly versions = new Map<string, Version>();
  /** Calls that were answered, and have no place yet. */
  private requiredCount: number;
  private deepest: { count: number; state: Version; stuck: Operation } | undefined;
  private placedCount = 0;

  constructor(
    private readonly key: string,
    operations: readonly Operation[],
  ) {
    this.operations = [...operations].sort((a, b) => a.begin - b.begin);
    this.isPlaced = this.operations.map(() => false);
    this.requiredCount = this.operations.filter(({ answer }) => answer.is !== 'unknown').length;
  }

  run(): void {
    const frames: Frame[] = [];
    let state: Version | undefined = { id: 0, revision: 0, content: undefined, before: undefined };
    for (;;) {
      const frame = state && this.enter(state);
      if (frame === 'explained') return;
      if (frame !== undefined) frames.push(frame);
      const choice = this.choose(frames);
      if (choice === undefined) throw this.violation();
      state = choice;
    }
  }

  /** Places all reads that hold now: that is never wrong, they change nothing. Then says what may come next. */
  private enter(state: Version): Frame | 'explained' {
    const placed: number[] = [];
    let open = this.open();
    for (let reads = [-1]; reads.length > 0; open = this.open()) {
      reads = open.filter((i) => !this.isChange(i) && this.after(state, i) !== undefined);
      for (const i of reads) this.place(i, placed);
    }
    if (this.requiredCount === 0) return 'explained';
    const byEnd = [...open].sort((a, b) => this.at(a).end - this.at(b).end);
    const stuck = byEnd.find((i) => this.isRequired(i));
    if (stuck !== undefined && this.placedCount >= (this.deepest?.count ?? -1))
      this.deepest = { count: this.placedCount, state, stuck: this.at(stuck) };
    const memory = `${state.id}|${open.join()}`;
    const isNew = !this.tried.has(memory);
    this.tried.add(memory);
    return { state, choices: isNew ? this.choicesOf(byEnd) : [], next: 0, placed };
  }

  /** Changes that surely happened, first; of these what ended first. Last, that the one whose time is over first did not happen. */
  private choicesOf(byEnd: readonly number[]): Choice[] {
    const changes = byEnd.filter((i) => this.isChange(i));
    const sure = changes.filter((i) => this.isRequired(i));
    const unsure = changes.filter((i) => !this.isRequired(i));
    const [over] = unsure;
    return [
      ...[...sure, ...unsure].map((operation) => ({ operation, happens: true })),
      ...(over === undefined || this.at(over).end === Infinity ? [] : [{ operation: over, happens: false }]),
    ];
  }

  /** The state behind the next choice to try; what led nowhere is taken back. Undefined: nothing is left to try. */
  private choose(frames: Frame[]): Version | undefined {
    for (let frame = frames.at(-1); frame !== undefined; frame = frames.at(-1)) {
      while (frame.next < frame.choices.length) {
        const { operation, happens } = frame.choices[frame.next++] as Choice;
        const state = happens ? this.after(frame.state, operation) : frame.state;
        if (state === undefined) continue;
        // Taken back when the frame that it leads to is.
        this.place(operation, frame.placed);
        return state;
      }
      for (const i of frame.placed) this.unplace(i);
      frames.pop();
      const choice = frames.at(-1)?.placed.pop();
      if (choice !== undefined) this.unplace(choice);
    }
    return undefined;
  }

  private place(i: number, placed: number[]): void {
    placed.push(i);
    this.isPlaced[i] = true;
    this.placedCount++;
    if (this.isRequired(i)) this.requiredCount--;
  }

  private unplace(i: number): void {
    this.isPlaced[i] = false;
    this.placedCount--;
    if (this.isRequired(i)) this.requiredCount++;
  }

  /** What may come next: it has no place, and began before the end of all that have none. */
  private open(): number[] {
    let earliestEnd = Infinity;
    const open: number[] = [];
    for (const [i, { begin, end }] of this.operations.entries()) {
      if (this.isPlaced[i] === true) continue;
      if (begin > earliestEnd) break;
      earliestEnd = Math.min(earliestEnd, end);
      open.push(i);
    }
    return open.filter((i) => this.at(i).begin <= earliestEnd);
  }

  private at(i: number): Operation {
    const operation = this.operations[i];
    if (operation === undefined) throw new RangeError(`there is no operation ${i}`);
    return operation;
  }

  private isRequired(i: number): boolean {
    return this.at(i).answer.is !== 'unknown';
  }

  private isChange(i: number): boolean {
    const { is } = this.at(i).answer;
    return is === 'done' || is === 'unknown';
  }

  /** The state behind an operation; undefined: it can't come here with its answer. */
  private after(state: Version, i: number): Version | undefined {
    const { call, answer } = this.at(i);
    if (answer.is === 'done' || answer.is === 'unknown') {
      const change = changed(state, call);
      if (change === undefined || (answer.is === 'done' && answer.revision !== state.revision + 1)) return undefined;
      return this.version(state, change.content);
    }
    return holds(state, call, answer) ? state : undefined;
  }

  private version(before: Version, content: Content | undefined): Version {
    const name = `${before.id}|${JSON.stringify(content)}`;
    let version = this.versions.get(name);
    if (version === undefined) {
      version = { id: this.versions.size + 1, revision: before.revision + 1, content, before };
      this.versions.set(name, version);
    }
    return version;
  }

  private violation(): HistoryViolation {
    const { state, stuck } = this.deepest ?? {};
    const reached = state && `revision ${state.revision}, ${JSON.stringify(state.content) ?? 'nothing'}`;
    return new HistoryViolation(
      `No order of the calls on ${this.key} explains ${JSON.stringify(stuck)}; the key then had ${reached}. Changes asked for last before it:\n${this.changesBefore(stuck?.end ?? 0)}`,
    );
  }

  private changesBefore(end: number): string {
    const reads = ['read', 'read revision', 'hear'];
    const asked = this.operations.filter(({ begin, call }) => begin <= end && !reads.includes(call.do));
    // JSON has no Infinity.
    return asked
      .slice(-SHOWN_CHANGES)
      .map((operation) => JSON.stringify({ ...operation, end: String(operation.end) }))
      .join('\n');
  }
}

/** `expected_revision` of a key; 0 where there is nothing. */
function live({ revision, content }: Version): number {
  return content === undefined ? 0 : revision;
}

/** What a change makes of a key; undefined: it is refused. */
function changed(state: Version, call: Call): { readonly content: Content | undefined } | undefined {
  const { content } = state;
  switch (call.do) {
    case 'save':
      return call.expected === undefined || call.expected === live(state) ? { content: call.content } : undefined;
    case 'append': {
      if (content?.rowCount !== call.base) return undefined;
      const { writers, rowCount, tag } = call.content;
      return { content: { writers: [...content.writers, ...writers], rowCount: content.rowCount + rowCount, tag } };
    }
    case 'update':
    case 'delete':
      if (content === undefined || (call.expected !== undefined && call.expected !== state.revision)) return undefined;
      return { content: call.do === 'delete' ? undefined : { ...content, tag: call.tag } };
    case 'read':
    case 'read revision':
    case 'hear':
      return undefined;
    default:
      return call satisfies never;
  }
}

/** Whether a read, or a change that was refused, is answered so. */
function holds(state: Version, call: Call, answer: Exclude<Answer, { is: 'done' } | { is: 'unknown' }>): boolean {
  // An append may be refused for any change since it was opened, also for one that leaves it the same rows.
  if (answer.is === 'mismatch') return call.do === 'append' || changed(state, call) === undefined;
  if (answer.is !== 'found') {
    if (call.do === 'read revision') return versionAt(state, call.revision)?.content === undefined;
    return state.content === undefined;
  }
  const { revision = state.revision, content } = answer;
  if (call.do === 'read' && revision !== state.revision) return false;
  if (call.do === 'read revision' && revision !== call.revision) return false;
  const version = versionAt(state, revision);
  return version !== undefined && fits(version.content, content);
}

function versionAt(state: Version, revision: number): Version | undefined {
  let version: Version | undefined = state;
  while (version !== undefined && version.revision > revision) version = version.before;
  return version?.revision === revision ? version : undefined;
}

function fits(content: Content | undefined, said: Partial<Content> | undefined): boolean {
  if (content === undefined || said === undefined) return content === said;
  const { writers, rowCount, tag } = said;
  return (
    (writers === undefined || writers.join('\0') === content.writers.join('\0')) &&
    (rowCount === undefined || rowCount === content.rowCount) &&
    (tag === undefined || tag === content.tag)
  );
}

/** A follower has so many rows of an upload now; that they are those that were sent, in order, was seen as they came. */
export interface Followed {
  readonly uploadId: string;
  readonly at: number;
  readonly rowCount: number;
}

/** A call that began then was told how many durable rows an upload has: as it was opened again, or as it was committed. */
export interface Durable {
  readonly uploadId: string;
  readonly begin: number;
  readonly rowCount: number;
}

/** Fails with HistoryViolation where an upload was found with fewer rows than a follower had before. */
export function checkFollowers(followed: readonly Followed[], durable: readonly Durable[]): void {
  for (const { uploadId, begin, rowCount } of durable)
    for (const seen of followed)
      if (seen.uploadId === uploadId && seen.at < begin && seen.rowCount > rowCount)
        throw new HistoryViolation(
          `A follower of ${uploadId} had ${seen.rowCount} rows; later there are ${rowCount}: rows that it saw are gone.`,
        );
}

/** What a watcher was told, in the order in which it came. */
export interface Told {
  readonly eventNumber: bigint;
  readonly key: string;
  readonly revision: number;
}

/** Fails with HistoryViolation where events or revisions go back, or the newest revisions were not told at the end. */
export function checkWatcher(told: readonly Told[], newest: ReadonlyMap<string, number>): void {
  const revisions = new Map<string, number>();
  let last = -1n;
  for (const { eventNumber, key, revision } of told) {
    if (eventNumber <= last) throw new HistoryViolation(`Event ${eventNumber} came behind event ${last}.`);
    const before = revisions.get(key) ?? 0;
    if (revision <= before)
      throw new HistoryViolation(`Revision ${revision} of ${key} was told behind revision ${before}.`);
    last = eventNumber;
    revisions.set(key, revision);
  }
  for (const [key, revision] of newest)
    if (revisions.get(key) !== revision)
      throw new HistoryViolation(`${key} has revision ${revision}; the last that was told is ${revisions.get(key)}.`);
}
