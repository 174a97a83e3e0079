import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, describe, expect } from 'vitest';
import { hasChromium, launchChromium } from './chromium.js';

const SCREENSHOTS = 'dist/screenshots';
const RPC_PATH = '/optistore.v1.StorageService/';
/** The levels that the page is made for. */
const AXE_TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'];
const PATIENCE_MS = 10_000;

/** What a page is opened with. */
export interface PageOptions {
  /** In CSS pixels; 1280 × 800 unless given. */
  readonly width?: number;
  readonly height?: number;
  readonly colorScheme?: 'light' | 'dark';
}

/** Chromium, and what went wrong in its pages: errors on the console, of scripts, of the policy, requests to elsewhere. */
export class TestBrowser implements AsyncDisposable {
  private browser: Promise<Browser> | undefined;
  private problems: string[] = [];
  private contexts: BrowserContext[] = [];

  /** Starts it; one a test file is enough. */
  static async launch(): Promise<TestBrowser> {
    const made = new TestBrowser();
    await made.started();
    return made;
  }

  /** Opens an address in a page of its own, that shares nothing with the others: `http://127.0.0.1:PORT/#/status`. */
  async page(url: string, { width = 1280, height = 800, colorScheme = 'light' }: PageOptions = {}): Promise<Page> {
    const browser = await this.started();
    const context = await browser.newContext({
      ...{ viewport: { width, height }, colorScheme, reducedMotion: 'reduce', locale: 'en-GB', timezoneId: 'UTC' },
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    this.contexts.push(context);
    context.setDefaultTimeout(PATIENCE_MS);
    const page = await context.newPage();
    this.notice(page, new URL(url).origin);
    await page.goto(url);
    return page;
  }

  /** Closes all pages. */
  async closePages(): Promise<void> {
    await Promise.all(this.contexts.map((context) => context.close()));
    this.contexts = [];
  }

  /** Fails where anything went wrong since it was asked last. */
  check(): void {
    const { problems } = this;
    this.problems = [];
    expect(problems, 'what the browser complained of').toEqual([]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.browser)?.close();
    this.check();
  }

  private started(): Promise<Browser> {
    this.browser ??= launchChromium();
    return this.browser;
  }

  private notice(page: Page, origin: string): void {
    page.on('pageerror', (error) => this.problems.push(`error: ${error.stack ?? error.message}`));
    page.on('console', (message) => {
      // A call that fails is the page's to handle, and the tests see how; Chromium writes a line of it all the same.
      const isCall = message.location().url.includes(RPC_PATH) && message.text().startsWith('Failed to load resource');
      if (message.type() === 'error' && !isCall) this.problems.push(`console: ${message.text()}`);
    });
    page.on('request', (request) => {
      if (new URL(request.url()).origin !== origin) this.problems.push(`a request to ${request.url()}`);
    });
  }
}

/** Tests with one browser, each with pages of its own. One fails where the browser complained. Without Chromium they are skipped, and say so. */
export function describeInBrowser(name: string, tests: (browser: TestBrowser) => void): void {
  if (!hasChromium) {
    describe.skip(`${name} (there is no Chromium here: set CHROMIUM, or install it)`, () => tests(new TestBrowser()));
    return;
  }
  describe(name, () => {
    const browser = new TestBrowser();
    afterEach(async () => {
      await browser.closePages();
      browser.check();
    });
    afterAll(() => browser[Symbol.asyncDispose]());
    tests(browser);
  });
}

/** Keeps a picture of what is seen now as dist/screenshots/NAME.png. */
export async function screenshot(page: Page, name: string): Promise<void> {
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
}

const axeSource = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe found against one of its rules. */
interface Violation {
  readonly id: string;
  readonly help: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
}

/** Expects that axe finds nothing against WCAG 2.1, A and AA, in what is shown now. */
export async function expectAccessible(page: Page): Promise<void> {
  // By the debugger, which the page's policy does not hold for.
  await page.evaluate(axeSource);
  const options = JSON.stringify({ runOnly: { type: 'tag', values: AXE_TAGS }, resultTypes: ['violations'] });
  const { violations } = await page.evaluate<{ violations: Violation[] }>(`axe.run(document, ${options})`);
  const told = violations.map(({ id, help, nodes }) => ({
    rule: `${id}: ${help}`,
    places: nodes.slice(0, 5).map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary ?? ''}`),
  }));
  expect(told).toEqual([]);
}

/** Expects that what is shown is accessible and no wider than the window, on a phone, at 4K and in the dark; keeps pictures as NAME-375 and so on. */
export async function expectFitsEverywhere(page: Page, name: string): Promise<void> {
  for (const [kind, width, height, colorScheme] of [
    ['375', 375, 812, 'light'],
    ['4k', 3840, 2160, 'light'],
    ['dark', 1280, 800, 'dark'],
  ] as const) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme });
    await expectAccessible(page);
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBe(0);
    await screenshot(page, `${name}-${kind}`);
  }
}
