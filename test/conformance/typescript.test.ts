import { conformance } from './conformance.js';
import { TypeScriptDriver } from './typescript-driver.js';

conformance('TypeScript, grpc-js', () => new TypeScriptDriver());
