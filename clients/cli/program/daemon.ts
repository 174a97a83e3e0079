import { Option, type Command } from 'commander';
import type { DoctorFlags } from '../commands/doctor.js';
import { abortUpload, status, uploads, type CommonFlags } from '../commands/catalogue.js';
import { verify, type VerifyFlags } from '../commands/verify.js';
import { watch, type WatchFlags } from '../commands/watch.js';
import { CONFIG, type Add } from '../serve.js';
import { JSON_FLAG, revision, SERVER } from './flags.js';

/** What the daemon does. */
export function addDaemon(add: Add): void {
  add('verify [prefix]', 'read results again and check every byte; ends with 1 where something is corrupt or missing')
    .option('--repair', "replace what is corrupt or missing by the other store's copy")
    .addOption(new Option('--backend <store>', "only this store's copies").choices(['primary', 'secondary']))
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action((prefix: string | undefined, flags: VerifyFlags) => verify(prefix ?? '', flags));
  add('watch [prefix]', 'print what is committed, updated and deleted, until Ctrl-C')
    .option('--after <event>', 'go on behind this event; 0: from the first (default: from now on)', revision)
    .option('--uploads', 'also saves in progress')
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action((prefix: string | undefined, flags: WatchFlags) => watch(prefix ?? '', flags));
  const inProgress = add('uploads', 'list saves in progress')
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action(uploads);
  inProgress
    .command('abort <id>')
    .description('give up an upload and remove its rows')
    .option(...JSON_FLAG)
    .option(...SERVER)
    .exitOverride()
    .action((id: string, _: CommonFlags, command: Command) => abortUpload(id, command.optsWithGlobals()));
  add('doctor', 'look whether everything is well, and say what to do; ends with 1 where it is not')
    .option(...CONFIG)
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action(async (flags: DoctorFlags) => {
      const { doctor } = await import('../commands/doctor.js');
      return doctor(flags);
    });
  add('status', 'tell how the daemon is')
    .option(...JSON_FLAG)
    .option(...SERVER)
    .action(status);
}
