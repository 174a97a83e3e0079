import { isLoopback } from '../../../server/loopback.js';
import { packageVersion } from '../../../server/version.js';
import { addressOf } from '../../typescript/connection.js';
import { OptistoreError, type OptistoreClient } from '../../typescript/index.js';
import { paint } from '../colours.js';
import { connect } from '../connect.js';
import { checkDisks } from '../doctor/check-disk.js';
import { checkStatus, type Answered } from '../doctor/check-status.js';
import { failed, ok, warning, type Finding } from '../doctor/finding.js';
import { print, printJson } from '../stdout.js';

/** Flags of `optistore doctor`. */
export interface DoctorFlags {
  readonly server?: string;
  readonly config?: string;
  readonly json?: boolean;
}

/** Who has not answered by then is not there for people either. */
const ANSWER_MS_MAX = 10_000;
const SLOW_MS = 500;
const ROUNDS = 5;

/** `optistore doctor`: looks at everything that can be asked for, and says what to do. Ends with 1 where something has failed. */
export async function doctor(flags: DoctorFlags): Promise<void> {
  const address = addressOf(flags.server === undefined ? {} : { address: flags.server });
  const findings = await examine(address, flags);
  if (findings.some(({ state }) => state === 'failed')) process.exitCode = 1;
  if (flags.json) printJson({ address, findings });
  else for (const finding of findings) tell(finding);
}

async function examine(address: string, flags: DoctorFlags): Promise<Finding[]> {
  const isHere = address.startsWith('unix:') || isLoopback(address);
  const disks = isHere ? await checkDisks(flags.config) : [];
  try {
    await using client = connect(flags);
    const first = await ask(client);
    const times = [];
    for (let round = 0; round < ROUNDS; round++) {
      const { askedMs, answeredMs } = await ask(client);
      times.push(answeredMs - askedMs);
    }
    const median = times.sort((a, b) => a - b)[ROUNDS >> 1] ?? 0;
    const found = `${address} answers in ${median.toFixed(1)} ms, at first in ${(first.answeredMs - first.askedMs).toFixed(0)} ms`;
    const server =
      median > SLOW_MS
        ? warning('server', found, 'Look at the load of its machine, and at the way to it.')
        : ok('server', found);
    return [server, ...checkStatus(first, packageVersion(), hasToken()), ...disks];
  } catch (error) {
    if (!(error instanceof OptistoreError)) throw error;
    return [...refusal(address, error, isHere), ...disks];
  }
}

async function ask(client: OptistoreClient): Promise<Answered> {
  // Of a clock that is not set while it runs; the wall clock only tells where it began.
  const askedMs = performance.timeOrigin + performance.now();
  let overdue: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new OptistoreError(`No answer within ${ANSWER_MS_MAX / 1000} s.`, 14, undefined, {});
    overdue = setTimeout(() => reject(error), ANSWER_MS_MAX);
  });
  try {
    const status = await Promise.race([client.getStatus(), late]);
    return { status, askedMs, answeredMs: performance.timeOrigin + performance.now() };
  } finally {
    clearTimeout(overdue);
  }
}

/** What it means when no status comes. */
function refusal(address: string, error: OptistoreError, isHere: boolean): Finding[] {
  if (error.reason === 'TOKEN_INVALID')
    return [
      ok('server', `${address} answers`),
      failed(
        'token',
        error.message,
        'Ask who runs the daemon for one (`optistore token create NAME`), and set OPTISTORE_TOKEN.',
      ),
    ];
  if (error.reason !== undefined)
    return [failed('server', `${address}: ${error.message}`, 'See docs/protocol.md for the reason.')];
  const advice = isHere
    ? 'Start one with `optistore serve`, or name another with --server or OPTISTORE_SERVER.'
    : 'See that the address is right, that `optistore serve` runs there with a `listen` that others can reach, that no firewall is between, and that TLS is the same on both sides.';
  // The error itself has advice, for those who ask for something else.
  const why = error.cause instanceof Error ? error.cause.message : error.message;
  return [failed('server', `nobody answers at ${address}: ${why}`, advice)];
}

function hasToken(): boolean {
  return (process.env['OPTISTORE_TOKEN'] ?? '') !== '';
}

const MARKS: Record<Finding['state'], string> = { ok: '✓', warning: '!', failed: '✗' };
const STYLES = { ok: 'green', warning: 'yellow', failed: 'red' } as const;

function tell({ check, state, found, advice }: Finding): void {
  print(`${paint(STYLES[state], MARKS[state])} ${paint('bold', check)}: ${found}`);
  if (advice !== undefined) print(`    ${advice}`);
}
