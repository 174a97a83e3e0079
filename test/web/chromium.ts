import { existsSync } from 'node:fs';
import { chromium, type Browser } from 'playwright-core';

/** Where a system keeps Chromium; `CHROMIUM` names another one. */
const PLACES = [
  process.env['CHROMIUM'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];
const EXECUTABLE = PLACES.find((path) => path !== '' && existsSync(path));
const FLAGS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update'],
];

/** Whether there is one here. */
export const hasChromium = EXECUTABLE !== undefined;

/** Starts it without a window. Throws where there is none. */
export async function launchChromium(): Promise<Browser> {
  if (EXECUTABLE === undefined)
    throw new Error(`There is no Chromium at ${PLACES.filter(Boolean).join(', ')}; CHROMIUM names another.`);
  return await chromium.launch({ executablePath: EXECUTABLE, headless: true, args: FLAGS });
}
