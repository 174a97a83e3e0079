/** A place in an element, in CSS pixels from its upper left corner. */
export interface Place {
  readonly x: number;
  readonly y: number;
}

/** What a pointer does on a plot. */
export interface DragHandlers {
  /** It goes over the plot without a button, or has left it. */
  hover(event: PointerEvent | undefined): void;
  /** A drag begins where the pointer was pressed; gives what its moves do, or undefined where it does nothing. */
  start(from: Place, event: PointerEvent): Drag | undefined;
  /** Pressed and let go in one place. */
  click(event: PointerEvent): void;
}

/** A drag under way. */
export interface Drag {
  move(to: Place, event: PointerEvent): void;
  end?(): void;
}

/** A hand is not still: less is a click. */
const CLICK_REACH = 4;

/** Where an event is, relative to an element. */
export function placeIn(element: Element, { clientX, clientY }: MouseEvent): Place {
  const { left, top } = element.getBoundingClientRect();
  return { x: clientX - left, y: clientY - top };
}

/** Tells an element's pointer events apart into hovers, drags and clicks; a drag is told at most once a frame. Gives the way to end that. */
export function listenForDrags(element: HTMLElement, handlers: DragHandlers): () => void {
  const listening = new AbortController();
  const options = { signal: listening.signal };
  let from: Place | undefined;
  let drag: Drag | undefined;
  let frame = 0;
  element.addEventListener(
    'pointerdown',
    (event) => {
      if (event.button !== 0) return;
      from = placeIn(element, event);
    },
    options,
  );
  element.addEventListener(
    'pointermove',
    (event) => {
      if (from === undefined) return handlers.hover(event);
      const to = placeIn(element, event);
      if (drag === undefined) {
        if (Math.hypot(to.x - from.x, to.y - from.y) < CLICK_REACH) return;
        element.setPointerCapture(event.pointerId);
        handlers.hover(undefined);
        drag = handlers.start(from, event) ?? { move: () => undefined };
      }
      const going = drag;
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => going.move(to, event));
    },
    options,
  );
  const end = (event: PointerEvent) => {
    if (from !== undefined && drag === undefined && event.type === 'pointerup') handlers.click(event);
    if (drag !== undefined) {
      cancelAnimationFrame(frame);
      drag.move(placeIn(element, event), event);
      drag.end?.();
    }
    from = drag = undefined;
  };
  element.addEventListener('pointerup', end, options);
  element.addEventListener('pointercancel', end, options);
  element.addEventListener('pointerleave', () => handlers.hover(undefined), options);
  return () => {
    cancelAnimationFrame(frame);
    listening.abort();
  };
}
