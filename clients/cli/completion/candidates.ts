import type { Command, Option } from 'commander';
import { createClient, type OptistoreClient } from '../../typescript/index.js';
import { counted } from '../words.js';

/** What may come next on a command line. */
export interface Candidate {
  readonly value: string;
  readonly description: string;
}

/** `files`: the shell itself completes names of files. */
export type Candidates = readonly Candidate[] | 'files';

/** A person waits: whoever has not answered by then has no keys to offer. */
const ANSWER_MS_MAX = 1_000;
const KEYS_MAX = 200;
const OF_FILES = /^<?(file|folder|path)>?$/;

/** Where a command line has come to. */
interface Place {
  readonly command: Command;
  /** How many arguments are complete. */
  readonly argumentCount: number;
  /** The option whose value comes next. */
  readonly option: Option | undefined;
  readonly server: string | undefined;
}

/** What may take the place of the last word, which may be empty. Never fails: where nothing is known, nothing is offered. */
export async function candidatesFor(root: Command, words: readonly string[]): Promise<Candidates> {
  const current = words.at(-1) ?? '';
  const place = placeBehind(root, words.slice(0, -1));
  const found = await valuesAt(place, current);
  return found === 'files' ? found : found.filter(({ value }) => value.startsWith(current));
}

function placeBehind(root: Command, words: readonly string[]): Place {
  let [command, argumentCount] = [root, 0];
  let option: Option | undefined;
  let server: string | undefined;
  for (const word of words) {
    if (option !== undefined) {
      if (option.long === '--server') server = word;
      option = undefined;
    } else if (word.startsWith('-') && word !== '-') {
      const known = command.options.find(({ long, short }) => word === long || word === short);
      option = known?.required ? known : undefined;
      if (word.startsWith('--server=')) server = word.slice('--server='.length);
    } else {
      const child = argumentCount === 0 ? command.commands.find((one) => one.name() === word) : undefined;
      if (child === undefined) argumentCount++;
      else command = child;
    }
  }
  return { command, argumentCount, option, server };
}

async function valuesAt({ command, argumentCount, option, server }: Place, current: string): Promise<Candidates> {
  if (option !== undefined) return valuesOf(option);
  if (current.startsWith('-') && current !== '-') return flagsOf(command);
  const children = argumentCount === 0 ? command.createHelp().visibleCommands(command) : [];
  const named = children.map((child) => ({ value: child.name(), description: child.description() }));
  const argument =
    command.registeredArguments[argumentCount] ?? command.registeredArguments.find((one) => one.variadic);
  if (argument === undefined) return named;
  if (argument.argChoices !== undefined) return argument.argChoices.map((value) => ({ value, description: '' }));
  if (OF_FILES.test(argument.name())) return 'files';
  if (argument.name() === 'id') return await asked(server, uploadsOf);
  const isKey = ['key', 'to-key', 'prefix'].includes(argument.name());
  return isKey ? await asked(server, (client) => keysOf(client, current)) : named;
}

function valuesOf(option: Option): Candidates {
  if (option.argChoices !== undefined) return option.argChoices.map((value) => ({ value, description: '' }));
  const [, placeholder = ''] = /[<[]([^>\]]+)[>\]]/.exec(option.flags) ?? [];
  return OF_FILES.test(placeholder) ? 'files' : [];
}

function flagsOf(command: Command): Candidate[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .flatMap(({ long, description }) => (long == null ? [] : [{ value: long, description }]));
}

/** Asks the daemon; nothing where it does not answer soon, or refuses. */
async function asked(
  server: string | undefined,
  ask: (client: OptistoreClient) => Promise<Candidate[]>,
): Promise<Candidate[]> {
  const client = createClient(server === undefined ? {} : { address: server });
  let overdue: NodeJS.Timeout | undefined;
  const late = new Promise<Candidate[]>((resolve) => {
    overdue = setTimeout(() => resolve([]), ANSWER_MS_MAX);
  });
  try {
    return await Promise.race([ask(client), late]);
  } catch {
    return [];
  } finally {
    clearTimeout(overdue);
    client.close();
  }
}

async function keysOf(client: OptistoreClient, prefix: string): Promise<Candidate[]> {
  const found: Candidate[] = [];
  for await (const { key, rowCount } of client.listResults({ prefix, pageSize: KEYS_MAX })) {
    found.push({ value: key, description: counted(rowCount, 'row') });
    if (found.length === KEYS_MAX) break;
  }
  return found;
}

async function uploadsOf(client: OptistoreClient): Promise<Candidate[]> {
  const found: Candidate[] = [];
  for await (const { uploadId, key } of client.listUploads()) found.push({ value: uploadId, description: key });
  return found;
}
