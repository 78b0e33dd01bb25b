/** npm run pictures: writes the pictures of docs/concepts.md; a test says when they are out of date. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pictures } from './draw.ts';

const folder = resolve(import.meta.dirname, '../../../docs/pictures');
mkdirSync(folder, { recursive: true });
for (const [name, svg] of pictures()) writeFileSync(join(folder, name), svg);
