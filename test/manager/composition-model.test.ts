import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ReplicationMode } from '../../proto/gen/optistore/v1/result_pb.js';
import { StorageError, type Reason } from '../../server/errors.js';
import { commit, RUNNING } from '../backends/runs.js';
import {
  type Content,
  expectReason,
  type Key,
  KEYS,
  type Known,
  type OpenUpload,
  orderOf,
  World,
} from './composition-world.js';

/** One change of the world. */
type Step =
  | {
      do: 'open' | 'save';
      key: Key;
      to: 'primary' | 'cache';
      append: boolean;
      isChecked: boolean;
      rowCount: number;
      isReplicated: boolean;
    }
  | { do: 'commit' }
  | { do: 'annotate' | 'delete'; key: Key }
  | { do: 'deleteCopy'; key: Key; role: 'primary' | 'secondary' | 'cache' }
  | { do: 'down'; store: 'primary' | 'secondary'; stepsLeft: number | undefined }
  | { do: 'up' | 'replicate' | 'restart' | 'empty primary' };

const LISTS = (['key', 'commit_time', 'update_time'] as const).flatMap((orderBy) =>
  [false, true].map((descending) => ({ orderBy, descending })),
);

const key = fc.constantFrom(...KEYS);
const saving = {
  key,
  to: fc.constantFrom('primary' as const, 'primary' as const, 'cache' as const),
  append: fc.boolean(),
  isChecked: fc.boolean(),
  rowCount: fc.integer({ min: 1, max: 3 }),
  isReplicated: fc.boolean(),
};
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('save' as const), ...saving }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('open' as const), ...saving }) },
  { weight: 2, arbitrary: fc.constant({ do: 'commit' as const }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('annotate' as const, 'delete' as const), key }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('deleteCopy' as const),
      key,
      role: fc.constantFrom('primary' as const, 'primary' as const, 'secondary' as const, 'cache' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('down' as const),
      store: fc.constantFrom('primary' as const, 'secondary' as const),
      stepsLeft: fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined }),
    }),
  },
  { weight: 3, arbitrary: fc.constantFrom({ do: 'up' as const }, { do: 'replicate' as const }) },
  { weight: 1, arbitrary: fc.constantFrom({ do: 'restart' as const }, { do: 'empty primary' as const }) },
);

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }));
afterEach(() => void vi.useRealTimers());

test.each([ReplicationMode.NONE, ReplicationMode.ASYNC, ReplicationMode.SYNC])(
  'whatever fails, the stores show as one what was saved, changed and deleted (replication %i)',
  async (mode) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 40, size: 'max' }), async (steps) => {
        const world = new World(mode);
        try {
          for (const [i, one] of steps.entries()) {
            await act(world, one);
            await check(world, [KEYS[i % KEYS.length] ?? 'a'], LISTS.slice(i % LISTS.length, (i % LISTS.length) + 1));
          }
          await world.up();
          await world.replicate();
          expect(await world.unreplicated()).toEqual([]);
          await check(world, KEYS, LISTS);
        } finally {
          await world.close();
        }
      }),
      { numRuns: Number(process.env['MODEL_RUNS'] ?? 80), seed: Number(process.env['MODEL_SEED'] ?? 20261125) },
    );
  },
  60_000,
);

async function act(world: World, one: Step): Promise<void> {
  switch (one.do) {
    case 'save':
    case 'open': {
      // A save to the cache goes on without the store, and can't know then which revisions that has given.
      if (one.to === 'cache') await world.up();
      const open = await opened(world, one);
      if (open === undefined) return;
      if (one.do === 'save') return committed(world, open);
      world.uploads.push(open);
      return;
    }
    case 'commit': {
      const open = world.uploads.shift();
      if (open?.role === 'cache') await world.up();
      return open && committed(world, open);
    }
    case 'annotate':
      return annotated(world, one.key);
    case 'delete':
      return deleted(world, one.key);
    case 'deleteCopy':
      return world.manager.deleteCopy(one.key, one.role, undefined, RUNNING).then(
        () => undefined,
        (error: unknown) => expectReason(error, ['RESULT_NOT_FOUND', 'BACKEND_UNAVAILABLE', 'RESULT_CORRUPT']),
      );
    case 'down': {
      const outage = world.outages[one.store];
      if (one.stepsLeft === undefined) outage.isDown = true;
      else outage.stepsLeft = one.stepsLeft;
      return;
    }
    case 'up':
      return world.up();
    case 'replicate':
      return world.replicate();
    case 'restart':
      await world.up();
      return world.restart();
    case 'empty primary':
      await world.up();
      return world.emptyPrimary();
    default:
      one satisfies never;
  }
}

async function opened(world: World, one: Extract<Step, { rowCount: number }>): Promise<OpenUpload | undefined> {
  const known = world.of(one.key);
  const isLive = known.shown?.content !== undefined;
  try {
    const open = await world.open(one.key, one.to, one);
    // What was pinned was brought to the store.
    if (one.to === 'primary') known.pinnedAbove = undefined;
    return open;
  } catch (error) {
    const isNotThere: Reason[] = one.append && !isLive ? ['RESULT_NOT_FOUND'] : [];
    const isElsewhere: Reason[] = one.append && one.to === 'cache' ? ['REQUEST_INVALID'] : [];
    expectReason(error, [...isNotThere, ...isElsewhere, 'BACKEND_UNAVAILABLE']);
    await afterFailure(world, error);
    // A save that could not be opened may have brought it to the store, or not.
    if (known.pinnedAbove !== undefined && one.to === 'primary') await stillPinned(world, one.key);
    return undefined;
  }
}

async function stillPinned(world: World, key: Key): Promise<void> {
  if (!(await world.isInCacheAlone(key))) world.of(key).pinnedAbove = undefined;
}

/** A step that broke off ends the outage, so that it can be seen what came of it: whether that has to be seen. */
async function afterFailure(world: World, error: unknown): Promise<boolean> {
  const isUnknown = error instanceof StorageError && error.reason === 'BACKEND_UNAVAILABLE';
  if (isUnknown) await world.up();
  return isUnknown;
}

async function committed(world: World, open: OpenUpload): Promise<void> {
  const { key, base, values, spec, role } = open;
  const known = world.of(key);
  const before = known.shown;
  const content = { values, tag: spec.tags['tag'] ?? '' };
  const isBuilt = spec.append || spec.expectedRevision !== undefined;
  const revisionOf = (shown: Known['shown']) => (shown?.content === undefined ? 0 : shown.revision);
  try {
    const manifest = await commit(open.upload, values.length);
    expect(
      isBuilt && revisionOf(before) !== revisionOf(base),
      `${key}: built on ${base?.revision}, is ${before?.revision}`,
    ).toBe(false);
    tell(known, Number(manifest.revision), content, role);
  } catch (error) {
    expectReason(error, isBuilt ? ['REVISION_MISMATCH', 'BACKEND_UNAVAILABLE'] : ['BACKEND_UNAVAILABLE']);
    if (await afterFailure(world, error)) await adopt(world, key, content, role);
    // A commit that was refused may have brought what was pinned to the store.
    if (known.pinnedAbove !== undefined && role === 'primary') await stillPinned(world, key);
  }
}

async function annotated(world: World, key: Key): Promise<void> {
  const known = world.of(key);
  const tag = world.fresh();
  const content = known.shown?.content && { ...known.shown.content, tag };
  const role = known.pinnedAbove === undefined ? 'primary' : 'cache';
  try {
    const manifest = await world.manager.annotate(key, undefined, ({ tags }) => void (tags['tag'] = tag), RUNNING);
    tell(known, Number(manifest.revision), content, role);
  } catch (error) {
    expectReason(error, content === undefined ? ['RESULT_NOT_FOUND', 'BACKEND_UNAVAILABLE'] : ['BACKEND_UNAVAILABLE']);
    if (await afterFailure(world, error)) await adopt(world, key, content, role);
  }
}

async function deleted(world: World, key: Key): Promise<void> {
  const known = world.of(key);
  const isLive = known.shown?.content !== undefined;
  try {
    const revision = await world.manager.delete(key, undefined, RUNNING);
    expect(isLive).toBe(true);
    // Of what only the cache had, the deletion is as volatile as it was.
    tell(known, revision, undefined, (await world.isInCacheAlone(key)) ? 'cache' : 'primary');
  } catch (error) {
    expectReason(error, isLive ? ['BACKEND_UNAVAILABLE'] : ['RESULT_NOT_FOUND', 'BACKEND_UNAVAILABLE']);
    if (await afterFailure(world, error)) await adopt(world, key, undefined, 'primary');
  }
}

/** A client is told of a revision. */
function tell(known: Known, revision: number, content: Content, role: 'primary' | 'cache'): void {
  expect(revision, 'revisions grow').toBeGreaterThan(known.told);
  known.told = revision;
  known.history.set(revision, content);
  if (role === 'cache' && known.pinnedAbove === undefined) known.pinnedAbove = { below: known.shown };
  else if (role === 'primary') known.pinnedAbove = undefined;
  known.shown = { revision, content };
}

/** A change whose answer was lost is made or is not; nothing else. */
async function adopt(world: World, key: Key, content: Content, role: 'primary' | 'cache'): Promise<void> {
  const known = world.of(key);
  const is = await world.shows(key).catch((error: unknown) => {
    expectReason(error, ['RESULT_NOT_FOUND']);
    return undefined;
  });
  const before = known.shown;
  if (is === undefined) {
    if (before?.content === undefined) return;
    expect(content, `${key} is gone`).toBe(undefined);
    tell(known, Math.max(known.told, before.revision) + 1, undefined, role);
    known.told--;
    return;
  }
  if (before?.revision === is.revision) return expect(is.content).toEqual(before.content);
  expect(is.content, `${key} at ${is.revision}`).toEqual(content);
  tell(known, is.revision, content, role);
}

/** What the manager shows is what the model says. */
async function check(world: World, keys: readonly Key[], lists: typeof LISTS): Promise<void> {
  await world.settle();
  for (const key of KEYS) await checkShown(world, key);
  for (const key of keys) await checkHistory(world, key);
  for (const { orderBy, descending } of lists) await checkList(world, orderBy, descending);
}

async function checkShown(world: World, key: Key): Promise<void> {
  const { shown, pinnedAbove, history } = world.of(key);
  const where = await world.whereabouts(key);
  try {
    const is = await world.shows(key);
    // It may have gone down just now.
    if (pinnedAbove !== undefined || !world.isDown('primary')) {
      expect(is, key).toEqual({ revision: shown?.revision, content: shown?.content, isStale: is.isStale });
      if (!world.isDown('primary')) expect(is.isStale).toBe(false);
      return;
    }
    expect(history.get(is.revision), `${key} at ${is.revision}`).toEqual(is.content);
    if (is.revision !== shown?.revision) expect(is.isStale, `${key} is stale`).toBe(true);
  } catch (error) {
    const reason = error instanceof StorageError ? error.reason : undefined;
    if (reason === undefined) throw error;
    const isAway = world.isDown('secondary') && (where === 'moved' || where === 'lost');
    const isAbsent = shown?.content === undefined;
    if (world.isDown('primary') && (pinnedAbove === undefined || isAbsent)) {
      const wasAbsent = [...history.values()].includes(undefined);
      return expectReason(error, wasAbsent ? ['BACKEND_UNAVAILABLE', 'RESULT_NOT_FOUND'] : ['BACKEND_UNAVAILABLE']);
    }
    if (isAway)
      return expectReason(
        error,
        where === 'moved' && !isAbsent ? ['BACKEND_UNAVAILABLE'] : ['BACKEND_UNAVAILABLE', 'RESULT_NOT_FOUND'],
      );
    if (isAbsent) return expectReason(error, ['RESULT_NOT_FOUND']);
    throw error;
  }
}

/** A revision that is asked for is that one, or there is none. */
async function checkHistory(world: World, key: Key): Promise<void> {
  for (const [revision, content] of world.of(key).history) {
    if (content === undefined) continue;
    try {
      expect(await world.shows(key, revision), `${key} at ${revision}`).toMatchObject({ revision, content });
    } catch (error) {
      expectReason(error, ['REVISION_NOT_FOUND', 'RESULT_NOT_FOUND', 'BACKEND_UNAVAILABLE']);
    }
  }
}

async function checkList(
  world: World,
  orderBy: 'key' | 'commit_time' | 'update_time',
  descending: boolean,
): Promise<void> {
  const [primaryIsDown, secondaryIsDown] = [world.isDown('primary'), world.isDown('secondary')];
  try {
    const { manifests, unreachable } = await world.listed(orderBy, descending, 2);
    expect(manifests.map(({ key }) => key)).toEqual(orderOf(manifests, orderBy, descending).map(({ key }) => key));
    const live = KEYS.filter((key) => world.of(key).shown?.content !== undefined);
    const listed = manifests.map(({ key }) => key as Key);
    if (world.isDown('primary')) {
      expect([...unreachable]).toContain('primary');
      return;
    }
    // Where the primary went down between two pages, an older revision may have come at its own place.
    expect(new Set(listed).size).toBe(listed.length);
    if (!secondaryIsDown && !world.isDown('secondary')) {
      expect([...listed].sort()).toEqual([...live].sort());
      if (!primaryIsDown) expect([...unreachable]).toEqual([]);
    }
    for (const { key, revision } of manifests) expect(Number(revision), key).toBe(world.of(key as Key).shown?.revision);
  } catch (error) {
    if (world.isDown('primary') && world.isDown('secondary')) return expectReason(error, ['BACKEND_UNAVAILABLE']);
    throw error;
  }
}
