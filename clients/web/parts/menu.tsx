import { useSignal } from '@preact/signals';
import type { RefObject } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { Button } from './button.js';
import { Icon, type IconName } from './icon.js';

/** Something that a menu offers. */
export interface MenuItem {
  readonly text: string;
  readonly icon: IconName;
  readonly isDanger?: boolean;
  /** Why it can't be used now. */
  readonly whyNot?: string | undefined;
  readonly onChoose: () => void;
}

/** A button that opens a list of things to do. Arrow keys go through it, Esc and a click elsewhere close it. */
export function Menu({ label, items }: { readonly label: string; readonly items: readonly MenuItem[] }) {
  const place = useRef<HTMLSpanElement>(null);
  // A page has many menus, and one at most that is open.
  const isOpen = useSignal(false);
  const close = () => (isOpen.value = false);
  return (
    <span ref={place} class="menu">
      <Button kind="quiet" icon="more" label={label} onClick={() => (isOpen.value = true)} />
      {isOpen.value && <MenuList items={items} place={place} onClose={close} />}
    </span>
  );
}

/** What an open menu shows, and where. */
interface MenuListProps {
  readonly items: readonly MenuItem[];
  readonly place: RefObject<HTMLElement | null>;
  readonly onClose: () => void;
}

function MenuList({ items, place, onClose }: MenuListProps) {
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (list.current === null || place.current === null) return;
    list.current.showPopover();
    putBeside(list.current, place.current.getBoundingClientRect());
    list.current.querySelector('button')?.focus();
  }, []);
  const choose = ({ whyNot, onChoose }: MenuItem) => {
    if (whyNot !== undefined) return;
    list.current?.hidePopover();
    onChoose();
  };
  return (
    <div
      ref={list}
      popover="auto"
      role="menu"
      onKeyDown={(event) => walk(event, list.current)}
      onToggle={(event) => {
        if (event.newState === 'closed') onClose();
      }}
    >
      {items.map((item) => (
        <button
          key={item.text}
          type="button"
          role="menuitem"
          class={item.isDanger === true ? 'danger' : ''}
          title={item.whyNot}
          aria-disabled={item.whyNot !== undefined}
          onClick={() => choose(item)}
        >
          <Icon name={item.icon} />
          {item.text}
        </button>
      ))}
    </div>
  );
}

/** Below the button, its right edge at the button's; above it where there is no room. */
function putBeside(list: HTMLElement, { right, top, bottom }: DOMRect): void {
  const { offsetWidth: width, offsetHeight: height } = list;
  const isBelow = bottom + height + 4 <= innerHeight;
  list.style.left = `${Math.max(4, right - width)}px`;
  list.style.top = `${isBelow ? bottom + 2 : Math.max(4, top - height - 2)}px`;
}

function walk(event: KeyboardEvent, list: HTMLElement | null): void {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step === undefined || list === null) return;
  event.preventDefault();
  event.stopPropagation();
  const items = [...list.querySelectorAll('button')];
  const at = items.findIndex((item) => item === document.activeElement);
  items[(at + step + items.length) % items.length]?.focus();
}
