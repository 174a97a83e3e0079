import { connectClient } from '../client/transports.js';
import { conformance } from './conformance.js';
import { TypeScriptDriver } from './typescript-driver.js';

conformance('TypeScript, Connect', () => new TypeScriptDriver(connectClient));
