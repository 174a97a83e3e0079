import { openFilesystemBackend } from '../../server/backends/filesystem/filesystem-backend.js';
import { inFolder } from './in-folder.js';
import { backendSuite } from './suite.js';

const open = inFolder((base_path, times) => openFilesystemBackend({ base_path, ...times }));

backendSuite('filesystem', open, { durable: true });
