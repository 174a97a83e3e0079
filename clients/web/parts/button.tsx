import type { ComponentChildren } from 'preact';
import { Icon, type IconName } from './icon.js';

/** What a button is and does. */
export interface ButtonProps {
  readonly children?: ComponentChildren;
  readonly icon?: IconName;
  /** `primary`: the one that is likely wanted; `danger`: what it does can't be undone; `quiet`: without a frame. */
  readonly kind?: 'plain' | 'primary' | 'danger' | 'quiet';
  /** What it is called where it shows a picture alone, and its tooltip. */
  readonly label?: string;
  /** Why it can't be used now: it is dimmed, and says so to who points at it or reaches it by keyboard. */
  readonly whyNot?: string | undefined;
  readonly type?: 'button' | 'submit';
  /** Of one that is on or off. */
  readonly isPressed?: boolean;
  readonly class?: string;
  readonly onClick?: (event: MouseEvent) => void;
}

/** A button. One that can't be used keeps the focus and its tooltip, which `disabled` would take from it. */
export function Button(props: ButtonProps) {
  const { children, icon, kind = 'plain', label, whyNot, type = 'button', isPressed, onClick } = props;
  const isOff = whyNot !== undefined;
  return (
    <button
      type={type}
      class={`button ${kind} ${children === undefined ? 'square' : ''} ${props.class ?? ''}`}
      title={whyNot ?? (children === undefined ? label : undefined)}
      aria-label={label}
      aria-disabled={isOff}
      aria-pressed={isPressed}
      onClick={(event) => {
        if (isOff) event.preventDefault();
        else onClick?.(event);
      }}
    >
      {icon && <Icon name={icon} />}
      {children !== undefined && <span>{children}</span>}
    </button>
  );
}
