/** A form that rows are written in. */
export const OUTPUT_FORMATS = ['csv', 'json', 'ndjson', 'arrow', 'arrows', 'parquet'] as const;

/** `arrow`: an IPC file; `arrows`: an IPC stream. */
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

const NAMED: Readonly<Record<string, OutputFormat>> = {
  csv: 'csv',
  json: 'json',
  ndjson: 'ndjson',
  jsonl: 'ndjson',
  arrow: 'arrow',
  feather: 'arrow',
  arrows: 'arrows',
  parquet: 'parquet',
  pq: 'parquet',
};

/** The format that the name of a file tells. Undefined: none. */
export function outputFormatOfName(file: string): OutputFormat | undefined {
  const [, ending = ''] = /\.([a-z]+)$/i.exec(file) ?? [];
  const name = ending.toLowerCase();
  return Object.hasOwn(NAMED, name) ? NAMED[name] : undefined;
}

/** The ending of a file's name that tells no format, as `.xyz`; undefined where it tells one, or there is none. */
export function unknownEnding(file: string): string | undefined {
  return outputFormatOfName(file) === undefined ? /[^/](\.[^./]+)$/.exec(file)?.[1] : undefined;
}

/** What endings there are, for people. */
export const ENDINGS = Object.keys(NAMED)
  .map((name) => `.${name}`)
  .join(', ');

/** Whether people can read it, so that it may go to a terminal. */
export function isText(format: OutputFormat): boolean {
  return format === 'csv' || format === 'json' || format === 'ndjson';
}
