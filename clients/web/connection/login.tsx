import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { Button } from '../parts/button.js';
import { logIn, tokenWanted } from './daemon.js';

/** Asks for a token. Nothing of it is kept by the browser: no name, no form that is sent, no password to remember. */
export function Login() {
  const field = useRef<HTMLInputElement>(null);
  const hint = useSignal<string | undefined>(undefined);
  useEffect(() => field.current?.focus(), []);
  const submit = (event: Event) => {
    event.preventDefault();
    const secret = field.current?.value.trim() ?? '';
    if (secret === '') hint.value = 'Paste the token that `optistore token create` has printed.';
    else if (!/^[\x21-\x7e]+$/.test(secret)) hint.value = 'A token has no spaces and no letters beyond ASCII.';
    else logIn(secret);
  };
  return (
    <main id="content" class="login" tabIndex={-1}>
      <form onSubmit={submit} autocomplete="off">
        <h1>Log in</h1>
        <p role="alert">{hint.value ?? tokenWanted.value}</p>
        <label class="field">
          <span>Token</span>
          <input
            ref={field}
            type="password"
            autocomplete="off"
            spellcheck={false}
            placeholder="ost_…"
            data-1p-ignore
            data-lpignore="true"
          />
        </label>
        <Button kind="primary" type="submit">
          Log in
        </Button>
        <p class="muted">
          On the daemon's machine, <code>optistore token create NAME --scope read</code> makes a token and prints it,
          this once. The scope <code>read</code> lists and loads, <code>write</code> saves and deletes as well,{' '}
          <code>admin</code> verifies and replicates too.
        </p>
        <p class="muted">It is kept in this page's memory alone: a reload asks for it again.</p>
      </form>
    </main>
  );
}
