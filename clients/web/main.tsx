import { render } from 'preact';
import { App } from './app.js';
import { watchDaemon } from './connection/events.js';
import { listenToShortcuts } from './shortcuts.js';

const page = document.getElementById('page');
if (page !== null) render(<App />, page);
listenToShortcuts();
void watchDaemon();
