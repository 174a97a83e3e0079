import { existsSync, readFileSync, rmSync } from 'node:fs';
import { REPORT, type CampaignReport } from './campaign.js';

/** Begins the report of a run of the long campaigns. Vitest calls this. */
export function setup(): void {
  rmSync(REPORT, { force: true });
}

/** Prints what the campaigns did, as a Markdown table. Vitest calls this. */
export function teardown(): void {
  // Where every campaign failed there is none.
  if (!existsSync(REPORT)) return;
  const lines = readFileSync(REPORT, 'utf8').trim().split('\n');
  const rows = lines.map((line) => {
    const { fault, rounds, checked, seconds, seed } = JSON.parse(line) as CampaignReport;
    return `| ${fault} | ${rounds} | ${checked} | ${seconds} | ${seed} |`;
  });
  const table = ['| fault | rounds | checked | seconds | seed |', '| --- | --- | --- | --- | --- |', ...rows];
  process.stdout.write(`\n${table.join('\n')}\n`);
}
