import { InvalidArgumentError, Option } from 'commander';
import type { Outcome, SaveOptions, StoreRole } from '../../typescript/index.js';
import { outcomeNamed } from '../commands/update.js';
import { OUTPUT_FORMATS, type OutputFormat } from '../output/output-format.js';

/** Flags that several commands have, and how the texts of flags become values. */
export const SERVER = [
  '--server <address>',
  'daemon: host:port or unix:PATH (default: OPTISTORE_SERVER, else 127.0.0.1:50051)',
] as const;
export const JSON_FLAG = ['--json', 'print JSON: see docs/cli.md'] as const;
export const TAG = ['--tag <name=value>', 'a tag; may be repeated', tag] as const;
export const STORES: readonly StoreRole[] = ['primary', 'secondary', 'cache'];

/** An option that takes one of some words; the shell completes them. */
export function choice(flag: string, description: string, words: readonly string[]): Option {
  return new Option(flag, description).choices(words);
}

/** The same, of words that stand for something else. */
export function meaning<Value>(
  flag: string,
  description: string,
  words: readonly string[],
  parse: (text: string) => Value | undefined,
): Option {
  return choice(flag, description, words).argParser((text: string) => {
    const value = parse(text);
    if (value === undefined) throw new InvalidArgumentError(`${listed(words)} was expected.`);
    return value;
  });
}

export function storeOption(flag: string, description: string): Option {
  return meaning(flag, description, STORES, (text) => STORES.find((role) => role === text));
}

export function outputFormat(description: string): Option {
  return meaning('--format <format>', description, OUTPUT_FORMATS, (text): OutputFormat | undefined =>
    OUTPUT_FORMATS.find((format) => format === text),
  );
}

export function outcomeOption(): Option {
  const parse = (text: string): Outcome | undefined => outcomeNamed(text);
  return meaning('--outcome <outcome>', 'finished, failed or stopped', ['finished', 'failed', 'stopped'], parse);
}

export function replication(): Option {
  const modes: Readonly<Record<string, NonNullable<SaveOptions['replicate']>>> = {
    async: true,
    sync: 'sync',
    none: false,
  };
  return meaning(
    '--replicate [mode]',
    'also to the secondary: async (default), sync (wait for it), none',
    ['async', 'sync', 'none'],
    (text) => (Object.hasOwn(modes, text) ? modes[text] : undefined),
  );
}

function listed(words: readonly string[]): string {
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

export function tag(text: string, before: Record<string, string> = {}): Record<string, string> {
  const [name, ...value] = text.split('=');
  if (name === undefined || name === '' || value.length === 0)
    throw new InvalidArgumentError('name=value was expected.');
  return { ...before, [name]: value.join('=') };
}

export function rowRange(text: string): [number, number?] {
  const match = /^(\d*):(\d*)$/.exec(text);
  if (match === null) throw new InvalidArgumentError('FIRST:END was expected, such as 0:100.');
  return match[2] === '' ? [Number(match[1])] : [Number(match[1]), Number(match[2])];
}

export function revision(text: string): bigint {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('a revision number was expected.');
  return BigInt(text);
}

export function names(text: string): string[] {
  return text.split(',');
}

/** A number of something, from `least` on. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    if (!/^\d{1,9}$/.test(text) || Number(text) < least)
      throw new InvalidArgumentError(`a whole number from ${least} on was expected.`);
    return Number(text);
  };
}
