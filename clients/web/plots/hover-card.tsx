import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';

/** A row that is pointed at, and where on the screen. */
export interface Hovered {
  readonly row: number;
  readonly x: number;
  readonly y: number;
}

const DISTANCE = 14;

/** What is known of something, beside the pointer and within the window. */
export function HoverCard({
  x,
  y,
  children,
}: {
  readonly x: number;
  readonly y: number;
  readonly children: ComponentChildren;
}) {
  const card = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const shown = card.current;
    if (shown === null) return;
    const { offsetWidth: width, offsetHeight: height } = shown;
    const isRight = x + DISTANCE + width < innerWidth;
    const left = isRight ? x + DISTANCE : x - DISTANCE - width;
    const top = Math.min(Math.max(4, y - height / 3), innerHeight - height - 4);
    shown.style.left = `${Math.max(4, left)}px`;
    shown.style.top = `${Math.max(4, top)}px`;
  });
  return (
    <div ref={card} class="hover-card">
      {children}
    </div>
  );
}
