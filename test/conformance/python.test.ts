import { beforeAll } from 'vitest';
import { pythonPackage, type InstalledPackage } from '../python/package.js';
import { conformance } from './conformance.js';
import { ProcessDriver } from './driver.js';

const DRIVER = 'test/conformance/python_driver.py';
let installed: InstalledPackage;

beforeAll(async () => {
  installed = await pythonPackage();
});

conformance('Python', () => ProcessDriver.start(installed.python, [DRIVER, 'sync'], installed.env));
conformance('Python, asyncio', () => ProcessDriver.start(installed.python, [DRIVER, 'asyncio'], installed.env));
