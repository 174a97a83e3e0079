import { toJson, type DescMessage, type MessageShape } from '@bufbuild/protobuf';

/** A line for people. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** What `--json` prints of a command that gives one thing: a document. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, undefined, 2));
}

/** What `--json` prints of a command that tells of many things as they come: an object a line. */
export function printJsonLine(value: unknown): void {
  print(JSON.stringify(value));
}

/** A message of the contract as a document. */
export function printMessage<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): void {
  printJson(toJson(schema, message));
}
