import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { parse } from 'yaml';

/** What the daemon of a scenario is like. */
export interface DaemonWish {
  /** With a filesystem store behind its LevelDB. */
  readonly secondary?: boolean;
  /** Tokens by name; what each is, steps call `$NAME`. */
  readonly tokens?: Readonly<Record<string, { readonly scope: 'read' | 'write' | 'admin'; readonly prefix?: string }>>;
}

/** One command to the client, or one act upon the daemon, and what is to come of it. */
export interface Step {
  /** Such as `save`, `load`, `daemon`: see README.md. */
  readonly verb: string;
  readonly content: JsonValue;
  /** What the answer has, among other things. */
  readonly expect?: JsonObject;
  /** The error that the daemon gives. */
  readonly error?: JsonObject;
  /** The client itself refuses, before anything is sent, and names this. */
  readonly misuse?: string;
  /** Either the client itself or the daemon refuses. */
  readonly refused?: JsonObject;
  /** Fields of the answer to be used in later steps as `$NAME`. */
  readonly keep?: Readonly<Record<string, string>>;
}

/** A promise to users of all clients, and how it is tried. */
export interface Scenario {
  readonly name: string;
  /** Absent: it shares a daemon with others. */
  readonly ownDaemon: DaemonWish | undefined;
  readonly steps: readonly Step[];
}

/** The scenarios of one file. */
export interface ScenarioFile {
  readonly topic: string;
  /** Protobuf JSON of Problem, by the name that steps use. */
  readonly problems: Readonly<Record<string, JsonObject>>;
  /** Done once for each client, ahead of the scenarios. */
  readonly before: readonly Step[];
  readonly scenarios: readonly Scenario[];
}

const ABOUT_THE_ANSWER = ['expect', 'error', 'misuse', 'refused', 'keep'];

/** Reads all scenarios of this folder. */
export function scenarioFiles(): ScenarioFile[] {
  const names = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.yaml'));
  return names.map((name) => {
    const file = parse(readFileSync(join(import.meta.dirname, name), 'utf8')) as {
      problems: Record<string, JsonObject>;
      before?: Record<string, JsonValue>[];
      scenarios: { name: string; own_daemon?: DaemonWish; steps: Record<string, JsonValue>[] }[];
    };
    return {
      topic: basename(name, '.yaml').replaceAll('-', ' '),
      problems: file.problems,
      before: (file.before ?? []).map(stepOf),
      scenarios: file.scenarios.map(({ name, own_daemon: ownDaemon, steps }) => ({
        ...{ name, ownDaemon },
        steps: steps.map(stepOf),
      })),
    };
  });
}

function stepOf(step: Record<string, JsonValue>): Step {
  const verbs = Object.keys(step).filter((key) => !ABOUT_THE_ANSWER.includes(key));
  const [verb = ''] = verbs;
  if (verbs.length !== 1) throw new Error(`A step does one thing, not ${verbs.join(', ')}: ${JSON.stringify(step)}`);
  const { [verb]: content = null, ...rest } = step;
  return { verb, content, ...rest };
}
