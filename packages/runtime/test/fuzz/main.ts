// pnpm --filter @grim/runtime fuzz [cases] [first seed]: hostile files by the million. Stops at the first surprise.
import { hostileFile, outcome } from './cases.ts';

const [cases = 10_000_000, first = 1] = process.argv.slice(2).map(Number);
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
