// pnpm --filter @grim/runtime fuzz --cases N --first SEED: hostile files by the million. Stops at the first surprise.
import { parseArgs } from 'node:util';
import { hostileFile, outcome } from './cases.ts';

const { values } = parseArgs({
  options: { cases: { type: 'string', default: '10000000' }, first: { type: 'string', default: '1' } },
});
const [cases, first] = [Number(values.cases), Number(values.first)];
if (!(Number.isSafeInteger(cases) && cases > 0 && Number.isSafeInteger(first)))
  throw new Error(`--cases ${values.cases} --first ${values.first}: whole numbers are needed, at least one case`);
const codes = new Map<string, number>();
for (let seed = first; seed < first + cases; seed++) {
  try {
    const code = outcome(hostileFile(seed))?.code ?? 'read';
    codes.set(code, (codes.get(code) ?? 0) + 1);
  } catch (error) {
    console.error(`seed ${seed}`);
    throw error;
  }
  if ((seed - first + 1) % 100_000 === 0) console.log(seed - first + 1, Object.fromEntries(codes));
}
console.log(`${cases} cases from seed ${first}, 0 findings`);
