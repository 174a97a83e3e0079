import { StorageError } from '../errors.js';

/** Reads a filter's text from left to right. FILTER_INVALID where something else stands than was expected. */
export class Scanner {
  /** Where it reads, in UTF-16 units. */
  at = 0;

  constructor(readonly text: string) {}

  /** Passes over spaces, and tells whether the end is reached. */
  isAtEnd(): boolean {
    this.take(/\s+/y);
    return this.at >= this.text.length;
  }

  /** Takes what matches here; undefined where nothing does. */
  take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }

  /** Takes a word such as AND, if it stands here by itself. */
  takeKeyword(keyword: 'AND' | 'OR' | 'NOT'): boolean {
    return !this.isAtEnd() && this.take(new RegExp(`${keyword}(?=[\\s()]|$)`, 'y')) !== undefined;
  }

  /** Takes a text in double quotes, without them, where one begins here. `isOpen`: an unescaped star stands at its end. */
  takeQuoted(): { text: string; isOpen: boolean } | undefined {
    const from = this.at;
    if (this.take(/"/y) === undefined) return undefined;
    let text = '';
    let isOpen = false;
    for (;;) {
      const plain = this.take(/[^"\\]+/y);
      if (plain !== undefined) {
        text += plain;
        isOpen = plain.endsWith('*');
      } else if (this.take(/"/y) !== undefined) {
        return { text, isOpen };
      } else {
        const escaped = this.take(/\\["\\*]/y);
        if (escaped === undefined && this.at < this.text.length) this.fail('\\", \\\\ or \\* behind a backslash');
        if (escaped === undefined) this.fail('a " that ends the text', from);
        text += escaped.slice(1);
        isOpen = false;
      }
    }
  }

  /** FILTER_INVALID at a place. */
  fail(expected: string, at = this.at): never {
    const position = Array.from(this.text.slice(0, at)).length;
    const rest = this.text.slice(at).trimStart();
    const found = rest === '' ? 'the end' : JSON.stringify(Array.from(rest).slice(0, 20).join(''));
    throw new StorageError(
      'FILTER_INVALID',
      `The filter can't be read at character ${position + 1}: ${found} stands where ${expected} was expected. docs/filter.md describes filters.`,
      { metadata: { position: String(position), expected } },
    );
  }
}
