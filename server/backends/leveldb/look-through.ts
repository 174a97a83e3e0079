import { LOOK_THROUGH_AFTER_MS } from '../../limits.js';
import type { Manifest } from '../../../proto/gen/optistore/storage/v1/manifest_pb.js';
import type { Catalogue } from './catalogue.js';
import type { IndexStore } from './index-store.js';
import { removeOrphans, type StandingFiles } from './segment-files.js';

/** What is looked through, and what must not be touched. */
export interface Looked {
  readonly index: IndexStore;
  readonly catalogue: Catalogue;
  readonly segments: string;
  readonly standing: StandingFiles;
  /** Damage is known of: a file that seems to be nobody's may be that of an entry which is lost. */
  readonly isDamaged: boolean;
}

/** Looks at every entry at the start and counts what there is: for an index that does not say it. */
export async function countAll(looked: Looked, numberChange: (manifest: Manifest) => Promise<void>): Promise<void> {
  const { index, catalogue } = looked;
  const names = new Set<string>();
  for await (const entry of index.newestRevisions()) {
    if ('damagedKey' in entry) {
      catalogue.addUnreadable(entry.damagedKey, false);
      continue;
    }
    catalogue.add(entry);
    for (const { name } of entry.segments) names.add(name);
    if (entry.changeNumber === 0n) await numberChange(entry);
  }
  await tidy(looked, names);
  await catalogue.counted(await index.newestChange());
}

/** Looks at every entry once the store is in use: for what filters ask, entries that do not check, and files that are nobody's. */
export class LookThrough implements AsyncDisposable {
  private readonly timer: NodeJS.Timeout;
  private running: Promise<void> | undefined;
  private isStopped = false;

  constructor(private readonly looked: Looked) {
    looked.catalogue.facts.beginFilling();
    this.timer = setTimeout(() => void this.finished(), LOOK_THROUGH_AFTER_MS).unref();
  }

  /** Is done with it; begins it where it was not begun. */
  finished(): Promise<void> {
    // Whoever reads an entry that can't be read is told; lists do without facts.
    this.running ??= this.run().catch(() => this.looked.catalogue.facts.giveUp());
    return this.running;
  }

  private async run(): Promise<void> {
    const { index, catalogue } = this.looked;
    const names = new Set<string>();
    for await (const entry of index.newestRevisions()) {
      if (this.isStopped) return;
      if ('damagedKey' in entry) {
        // What was put in its place since is another one.
        if (await index.isDamaged(entry.damagedKey)) catalogue.addUnreadable(entry.damagedKey, true);
        continue;
      }
      catalogue.facts.fill(entry);
      for (const { name } of entry.segments) names.add(name);
    }
    catalogue.facts.endFilling();
    await tidy(this.looked, names);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.timer);
    this.isStopped = true;
    await this.running;
  }
}

/** Removes files that no upload and no revision has: their deletion was cut off. Older revisions come last: newest ones become such. */
async function tidy({ index, catalogue, segments, standing, isDamaged }: Looked, names: Set<string>): Promise<void> {
  let mayLack = isDamaged || catalogue.hasUnreadable || (await index.hasDamagedUploads());
  for await (const manifest of index.olderRevisions()) {
    mayLack ||= manifest === undefined;
    for (const { name } of manifest?.segments ?? []) names.add(name);
  }
  // A file that seems to be nobody's may be that of an entry which can't be read.
  if (!mayLack) await removeOrphans(segments, names, standing);
}
