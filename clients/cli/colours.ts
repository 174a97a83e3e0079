import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/**
 * Whether an output gets colours: a terminal does, unless `--no-color`, NO_COLOR or TERM=dumb say otherwise; FORCE_COLOR gives them to pipes
 * too, and beats NO_COLOR as in Node.
 */
export function hasColours(
  output: { readonly isTTY?: boolean },
  env: NodeJS.ProcessEnv = process.env,
  args: readonly string[] = process.argv,
): boolean {
  if (args.includes('--no-color')) return false;
  const { FORCE_COLOR: forced, NO_COLOR: refused, TERM: terminal } = env;
  if (forced !== undefined) return forced !== '0' && forced !== 'false';
  if (refused !== undefined && refused !== '') return false;
  return output.isTTY === true && terminal !== 'dumb';
}

/** Paints a text where the output gets colours. */
export function paint(style: Style, text: string, output: { readonly isTTY?: boolean } = process.stdout): string {
  return hasColours(output) ? styleText(style, text) : text;
}
