import { openLeveldbBackend } from '../../server/backends/leveldb/leveldb-backend.js';
import { damageLeveldbEntry } from './damage.js';
import { inFolder } from './in-folder.js';
import { backendSuite } from './suite.js';

const open = inFolder((path, times) => openLeveldbBackend({ path, ...times }), damageLeveldbEntry);

backendSuite('leveldb', open, { durable: true, damages: true, hasLocalFiles: true });
