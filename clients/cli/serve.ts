import { Command, Option } from 'commander';
import type { Settings } from '../../server/config.js';
import { packageVersion } from '../../server/version.js';

/** Adds a command. */
export type Add = (name: string, description: string) => Command;

/** A program that has no command yet, and what adds one. */
export function emptyProgram(): { cli: Command; add: Add } {
  const version = packageVersion();
  const told = process.argv.includes('--json')
    ? JSON.stringify({ version, node: process.versions.node })
    : `optistore ${version}`;
  const cli = new Command('optistore')
    .description('Keeps the results of optimization runs.')
    .version(told, '-V, --version', 'print the version; with --json also that of Node')
    .option('--no-color', 'no colours, in any command; as NO_COLOR=1')
    .exitOverride();
  const add: Add = (name, description) =>
    cli.command(name).description(description).addOption(new Option('--no-color').hideHelp()).exitOverride();
  return { cli, add };
}

export const CONFIG = ['--config <file>', 'configuration (default: optistore.yaml where it exists)'] as const;

/** The daemon. */
export function addServe(add: Add): void {
  add('serve', 'run the daemon until Ctrl-C')
    .option(...CONFIG)
    .option('--listen <host:port>', 'gRPC address (default: 127.0.0.1:50051)')
    .option('--socket <path>', 'Unix socket, beside TCP')
    .option('--web <host:port>', 'address for browsers and curl (default: off)')
    .option('--path <folder>', 'folder of the store (default: ./optistore-data)')
    .option('--log-level <level>', 'trace, debug, info, warn, error or silent')
    .option('--insecure', 'allow an address that others can reach, without encryption')
    .action(async (flags: Record<string, string | boolean | undefined>) => {
      const { config, listen, socket, web, path, logLevel, insecure } = flags;
      const settings: Settings = { listen, socket, web, insecure, log_level: logLevel, primary: { path } };
      // Only this command needs the stores and their libraries: all others start without them.
      const { serve } = await import('../../server/main.js');
      await serve(settings, config as string | undefined);
    });
}

/** The daemon alone: it starts without what all other commands need, the client and the formats of files. */
export function serveProgram(): Command {
  const { cli, add } = emptyProgram();
  addServe(add);
  return cli;
}
