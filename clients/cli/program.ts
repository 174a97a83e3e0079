import type { Command } from 'commander';
import { addCatalogue } from './program/catalogue.js';
import { addCompletion } from './program/completion.js';
import { addDaemon } from './program/daemon.js';
import { addMigration } from './program/migration.js';
import { addRows } from './program/rows.js';
import { addSets } from './program/sets.js';
import { addTokens } from './program/tokens.js';
import { addServe, emptyProgram } from './serve.js';

/** All commands and their flags. */
export function program(): Command {
  const { cli, add } = emptyProgram();
  addServe(add);
  addRows(add);
  addSets(add);
  addCatalogue(add);
  addMigration(add);
  addDaemon(add);
  addTokens(add);
  addCompletion(cli, add);
  return cli;
}
