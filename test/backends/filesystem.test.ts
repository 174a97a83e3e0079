import { openFilesystemBackend } from '../../server/backends/filesystem/filesystem-backend.js';
import { damageFilesystemEntry } from './damage.js';
import { inFolder } from './in-folder.js';
import { backendSuite } from './suite.js';

const open = inFolder((base_path, times) => openFilesystemBackend({ base_path, ...times }), damageFilesystemEntry);

backendSuite('filesystem', open, { durable: true, damages: true, hasLocalFiles: true });
