import type { Signal } from '@preact/signals';
import { Button } from '../parts/button.js';
import type { Extent } from './scatter-plot.js';

/** What a drag does. */
export type Tool = 'select' | 'pan';

/** Whether an axis is, or could be, logarithmic. */
export interface LogChoice {
  readonly name: string;
  readonly isPossible: boolean;
  readonly isOn: boolean;
  readonly toggle: () => void;
}

/** What a drag does, the scales, and how much is shown. */
export function ScatterTools(props: {
  readonly tool: Signal<Tool>;
  readonly extent: Extent;
  /** Whether there is a front to go to. */
  readonly hasFront: boolean;
  readonly logs: readonly LogChoice[];
  /** What a drag does beside panning; `Select` by default. */
  readonly panName?: string;
  readonly onZoom: (factor: number) => void;
  readonly onFit: (extent: 'front' | 'all') => void;
}) {
  const { tool, extent, hasFront, logs, panName = 'Pan', onZoom, onFit } = props;
  return (
    <div class="tools">
      <span class="segments" role="group" aria-label="What a drag does">
        <Button isPressed={tool.value === 'select'} onClick={() => (tool.value = 'select')}>
          Select
        </Button>
        <Button isPressed={tool.value === 'pan'} onClick={() => (tool.value = 'pan')}>
          {panName}
        </Button>
      </span>
      {logs.some(({ isPossible }) => isPossible) && (
        <span class="segments" role="group" aria-label="Logarithmic axes">
          {logs.map(
            ({ name, isPossible, isOn, toggle }) =>
              isPossible && (
                <Button key={name} isPressed={isOn} onClick={toggle}>
                  log {name}
                </Button>
              ),
          )}
        </span>
      )}
      <span class="segments" role="group" aria-label="Zoom">
        <Button label="Zoom in" onClick={() => onZoom(0.7)}>
          +
        </Button>
        <Button label="Zoom out" onClick={() => onZoom(1 / 0.7)}>
          −
        </Button>
        {hasFront && (
          <Button isPressed={extent === 'front'} onClick={() => onFit('front')}>
            Front
          </Button>
        )}
        <Button isPressed={extent === 'all'} onClick={() => onFit('all')}>
          All
        </Button>
      </span>
    </div>
  );
}
