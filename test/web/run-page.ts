import type { Page } from 'playwright-core';

/** A point in CSS pixels. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** The address of a run's views. */
export function runAddress(web: string, key: string, query = ''): string {
  return `http://${web}/#/run/${encodeURIComponent(key)}${query}`;
}

/** How many rows each class has, as the legend says, once it is there. */
export async function legend(page: Page): Promise<Record<string, number>> {
  const shown = page.getByRole('group', { name: 'Legend' });
  await shown.waitFor();
  const texts = await shown.getByRole('button').allInnerTexts();
  return Object.fromEntries(
    texts.map((text): [string, number] => {
      const [, name = '', count] = /^(.*?)\s*([\d,]+)$/s.exec(text.trim()) ?? [];
      return [name, Number(count?.replaceAll(',', ''))];
    }),
  );
}

/** Waits until two frames have been drawn. */
export async function settled(page: Page): Promise<void> {
  await page.evaluate(
    () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(resolve, 0)))),
  );
}

/** Drags from one place of an element to another, in steps as a hand does. */
export async function drag(page: Page, selector: string, from: Point, to: Point): Promise<void> {
  const element = page.locator(selector).first();
  await element.scrollIntoViewIfNeeded();
  const box = await element.boundingBox();
  if (box === null) throw new Error(`${selector} is not seen`);
  await page.mouse.move(box.x + from.x, box.y + from.y);
  await page.mouse.down();
  await page.mouse.move(box.x + (from.x + to.x) / 2, box.y + (from.y + to.y) / 2, { steps: 4 });
  await page.mouse.move(box.x + to.x, box.y + to.y, { steps: 4 });
  await page.mouse.up();
}
