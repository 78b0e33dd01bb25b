/** Writes docs/operators.md anew: `npm run operators`. */
import { writeFileSync } from 'node:fs';
import { operatorTable } from './operators.ts';

writeFileSync(new URL('../../../docs/operators.md', import.meta.url), operatorTable());
