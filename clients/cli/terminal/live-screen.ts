import type { WriteStream } from 'node:tty';
import { atSignal } from './at-signal.js';

const [HIDE, SHOW, CLEAR_BELOW, CLEAR_ALL] = ['\u001b[?25l', '\u001b[?25h', '\u001b[0J', '\u001b[2J\u001b[H'];

/** Some lines of a terminal that are drawn anew in place. The cursor is there again at the end, also after a signal. */
export class LiveScreen implements Disposable {
  private drawn = 0;
  private readonly onResize = () => {
    // The terminal has broken the old lines anew: where they are now, nobody knows.
    this.output.write(CLEAR_ALL);
    this.drawn = 0;
    this.redraw();
  };
  private readonly restoring: Disposable;

  /** `frame`: the lines for so many columns and lines; it is asked for at each draw. */
  constructor(
    private readonly output: WriteStream,
    private readonly frame: (columns: number, lines: number) => readonly string[],
  ) {
    output.write(HIDE);
    output.on('resize', this.onResize);
    this.restoring = atSignal(() => this[Symbol.dispose]());
  }

  /** Draws over what was drawn before. */
  redraw(): void {
    const { columns, rows } = this.output;
    // In the last column some terminals begin a new line by themselves.
    const lines = this.frame(Math.max((columns || 80) - 1, 10), Math.max((rows || 24) - 1, 3));
    const back = this.drawn === 0 ? '' : `\r\u001b[${this.drawn}A`;
    this.output.write(`${back}${CLEAR_BELOW}${lines.map((line) => `${line}\n`).join('')}`);
    this.drawn = lines.length;
  }

  [Symbol.dispose](): void {
    this.output.off('resize', this.onResize);
    this.restoring[Symbol.dispose]();
    this.output.write(SHOW);
  }
}
