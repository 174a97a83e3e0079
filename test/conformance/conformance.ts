import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createToken } from '../../server/rpc/access/token-file.js';
import { TestDaemon } from '../rpc/wire.js';
import { typesOf, valuesMeant, type ColumnType, type JsonColumn } from './columns.js';
import type { Driver } from './driver.js';
import { expectAnswer } from './expectation.js';
import { TypeScriptDriver } from './typescript-driver.js';
import { scenarioFiles, type DaemonWish, type ScenarioFile, type Step } from './scenario.js';

/** Tries every scenario with a client, against real daemons. */
export function conformance(client: string, startDriver: () => Driver | Promise<Driver>): void {
  describe(client, () => {
    let driver: Driver;
    let shared: TestDaemon;

    beforeAll(async () => {
      driver = await startDriver();
      shared = await TestDaemon.start();
    });
    afterAll(async () => {
      await driver?.[Symbol.asyncDispose]();
      await shared?.[Symbol.asyncDispose]();
    });

    describe.each(scenarioFiles().map((file) => [file.topic, file] as const))('%s', (_topic, file) => {
      beforeAll(async () => {
        if (file.before.length > 0) await new Run(driver, file, shared).perform(file.before);
      });
      const named = file.scenarios.map((scenario) => [scenario.name, scenario] as const);
      test.each(named)('%s', async (_name, { steps, ownDaemon }) => {
        if (ownDaemon === undefined) return await new Run(driver, file, shared).perform(steps);
        await using own = await OwnDaemon.start(ownDaemon);
        await new Run(driver, file, own.daemon, own.tokens).perform(steps);
      });
    });
  });
}

/** A daemon of one scenario. */
class OwnDaemon implements AsyncDisposable {
  private constructor(
    readonly daemon: TestDaemon,
    private readonly folder: string,
    readonly tokens: Record<string, string>,
  ) {}

  static async start({ secondary = false, tokens = {} }: DaemonWish): Promise<OwnDaemon> {
    const folder = await mkdtemp(join(tmpdir(), 'optistore-conformance-'));
    const file = join(folder, 'tokens.json');
    const made = Object.entries(tokens).map(
      ([name, { scope, prefix = '' }]) => [name, createToken(file, { name, scope, prefix })] as const,
    );
    const daemon = await TestDaemon.startWith({
      ...(secondary && { secondary: { type: 'filesystem', base_path: join(folder, 'secondary') } }),
      ...(made.length > 0 && { tokens: file }),
    });
    return new OwnDaemon(daemon, folder, Object.fromEntries(made));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.daemon[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A scenario as it runs. */
class Run {
  private readonly types: Map<string, ColumnType>;
  /** The columns of each writer. */
  private readonly columnsOf = new Map<string, readonly string[]>();
  private readonly connected = new Set<string>();
  private readonly kept: Map<string, JsonValue>;
  /** What others give is held to what the TypeScript client gives. */
  private readonly typescript = new TypeScriptDriver();

  constructor(
    private readonly driver: Driver,
    private readonly file: ScenarioFile,
    private readonly daemon: TestDaemon,
    tokens: Readonly<Record<string, string>> = {},
  ) {
    this.types = typesOf(Object.values(file.problems));
    this.kept = new Map(Object.entries(tokens));
  }

  async perform(steps: readonly Step[]): Promise<void> {
    try {
      for (const [i, step] of steps.entries()) {
        try {
          await this.step(step);
        } catch (error) {
          if (error instanceof Error) error.message = `Step ${i + 1}, ${step.verb}: ${error.message}`;
          throw error;
        }
      }
    } finally {
      // Closes what the scenario left open.
      await this.driver.perform({ do: 'reset' });
      await this.typescript[Symbol.asyncDispose]();
    }
  }

  private async step(step: Step): Promise<void> {
    if (step.verb === 'daemon') return await this.actUpon(step.content);
    const command: JsonObject = { do: step.verb, ...(this.filledIn(step.content) as JsonObject) };
    const { client = 'first', writer, problem } = command as { client?: string; writer?: string; problem?: JsonObject };
    if (writer !== undefined && problem !== undefined) this.columnsOf.set(writer, [...typesOf([problem]).keys()]);
    const driver = client === 'typescript' ? this.typescript : this.driver;
    if (step.verb === 'connect') Object.assign(command, { address: this.daemon.address });
    else if (!this.connected.has(client)) await driver.perform({ do: 'connect', client, address: this.daemon.address });
    this.connected.add(client);
    const answer = await driver.perform({ client, ...command });
    expectAnswer({ ...step, ...(step.expect && { expect: this.recalled(step.expect) as JsonObject }) }, answer);
    for (const [name, field] of Object.entries(step.keep ?? {})) {
      const value = 'ok' in answer ? fieldOf(answer.ok, field) : undefined;
      expect(value, field).toBeDefined();
      this.kept.set(name, value as JsonValue);
    }
  }

  private async actUpon(what: JsonValue): Promise<void> {
    if (what === 'kill') await this.daemon.process.stop('SIGKILL');
    else if (what === 'stop') await this.daemon.process.stop('SIGTERM');
    else if (what === 'start') await this.daemon.restart();
    else throw new Error(`A daemon can be told to kill, stop or start, not ${JSON.stringify(what)}.`);
  }

  /** Names of problems become problems, rows of the made up run become values, `$NAME` what was kept. */
  private filledIn(content: JsonValue): JsonValue {
    if (content === null || typeof content !== 'object' || Array.isArray(content)) return content;
    return Object.fromEntries(
      Object.entries(content).map(([name, value]) => {
        if (name === 'problem' && typeof value === 'string') return [name, this.file.problems[value] ?? null];
        if (name === 'columns' && value !== null && !Array.isArray(value))
          return [name, this.columns(value as JsonObject, content['writer'] as string)];
        return [name, this.recalled(value)];
      }),
    );
  }

  /** `$NAME` becomes what was kept, wherever it stands. */
  private recalled(value: JsonValue): JsonValue {
    if (typeof value === 'string' && value.startsWith('$')) return this.kept.get(value.slice(1)) ?? null;
    if (value === null || typeof value !== 'object') return value;
    if (Array.isArray(value)) return value.map((element) => this.recalled(element));
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, this.recalled(part)]));
  }

  private columns(meant: JsonObject, writer: string): JsonObject {
    const isOfAll = 'range' in meant;
    const names = isOfAll ? (this.columnsOf.get(writer) ?? []) : Object.keys(meant);
    return Object.fromEntries(
      names.map((name): [string, JsonColumn] => {
        const values = (isOfAll ? meant : meant[name]) as JsonValue;
        if (values !== null && typeof values === 'object' && 'type' in values) return [name, values as JsonColumn];
        const type = this.types.get(name);
        if (type === undefined) throw new Error(`No problem of this file has a column ${name}.`);
        return [name, { type, values: valuesMeant(name, type, values) }];
      }),
    );
  }
}

/** A field, or one within it: `sample.row_count`. */
function fieldOf(answer: JsonObject, path: string): JsonValue | undefined {
  return path.split('.').reduce<JsonValue | undefined>((found, name) => ((found ?? {}) as JsonObject)[name], answer);
}
