// pnpm --filter @grim/codegen patterns --cases N --first SEED: random BCR patterns by the thousand; prints the worst ratios.
import { parseArgs } from 'node:util';
import { runCases } from './cases.ts';

const { values } = parseArgs({
  options: { cases: { type: 'string', default: '10000' }, first: { type: 'string', default: '1' } },
});
const [cases, first] = [Number(values.cases), Number(values.first)];
if (!(Number.isSafeInteger(cases) && cases > 0 && Number.isSafeInteger(first)))
  throw new Error(`--cases ${values.cases} --first ${values.first}: whole numbers are needed, at least one case`);
const summary = runCases(first, cases, (done) => {
  if (done % 1000 === 0) console.log(`${done} of ${cases}`);
});
console.log(JSON.stringify(summary));
process.exitCode = summary.failed.length === 0 ? 0 : 1;
