import { batch } from '@preact/signals';
import type { Drag, Place } from './drag.js';
import type { Rectangle } from './screen-points.js';
import { changeOf, type Selection } from './selection.js';

/** A drag that draws a rectangle in a plot's area, and selects the rows in it as it moves. */
export function brushDrag(
  area: HTMLElement,
  plot: { rowsIn(rectangle: Rectangle): Uint8Array },
  selection: Selection,
  from: Place,
  event: PointerEvent,
): Drag {
  const box = document.createElement('div');
  box.className = 'brush-box';
  area.append(box);
  const base = selection.mask.peek();
  const how = changeOf(event);
  return {
    move(to) {
      const rectangle = {
        ...{ left: Math.min(from.x, to.x), right: Math.max(from.x, to.x) },
        ...{ top: Math.min(from.y, to.y), bottom: Math.max(from.y, to.y) },
      };
      box.style.left = `${rectangle.left}px`;
      box.style.top = `${rectangle.top}px`;
      box.style.width = `${rectangle.right - rectangle.left}px`;
      box.style.height = `${rectangle.bottom - rectangle.top}px`;
      batch(() => selection.change(plot.rowsIn(rectangle), how, undefined, base));
    },
    end: () => box.remove(),
  };
}

/** The wheel scrolls the page, and zooms while the plot has the focus or Ctrl is held. Gives the way to end that. */
export function listenForWheel(
  area: HTMLElement,
  focused: HTMLElement,
  zoom: (factor: number, event: WheelEvent) => void,
): () => void {
  const onWheel = (event: WheelEvent) => {
    if (!event.ctrlKey && document.activeElement !== focused) return;
    event.preventDefault();
    zoom(1.0015 ** event.deltaY, event);
  };
  area.addEventListener('wheel', onWheel, { passive: false });
  return () => area.removeEventListener('wheel', onWheel);
}
