import { render } from 'preact';
import { App } from './app.js';
import { watchDaemon } from './connection/events.js';
import { listenToShortcuts } from './shortcuts.js';

// The views scroll to where they were themselves, once there is something to scroll.
history.scrollRestoration = 'manual';
const page = document.getElementById('page');
if (page !== null) render(<App />, page);
listenToShortcuts();
void watchDaemon();
