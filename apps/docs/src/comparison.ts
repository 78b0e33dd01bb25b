/**
 * The measured table of docs/comparison.md: written from the raw files of `bench/results`, a row for each model and rival of the files
 * named here, the slower ones too. `npm run comparison` writes it anew; a test says when it is out of date.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../../..');
const PAGE = resolve(ROOT, 'docs/comparison.md');
const [BEGIN, END] = ['<!-- measured: begin -->', '<!-- measured: end -->'];

/** Of dense networks, and of pruned ones; all of one machine. */
const FILES = [
  '2026-11-23-models-dense-quiet.json',
  '2026-11-23-models-resnet18-0.125-2xK.json',
  '2026-11-23-models-resnet18-0.125-4xK.json',
  '2026-11-24-models-gru2x1024_t100-0.1-64x256.json',
];

interface Measured {
  readonly machine: { readonly cpu: string; readonly node: string; readonly commit: string; readonly date: string };
  readonly pruning: { readonly density: number; readonly block: string } | null;
  readonly models: readonly {
    readonly name: string;
    readonly comparisons: readonly {
      readonly rival: string;
      readonly ratio: number;
      readonly low: number;
      readonly high: number;
    }[];
    readonly contenders: readonly { readonly name: string; readonly version?: string; readonly bytes: number }[];
  }[];
}

/** The table in Markdown. */
function table(): string {
  const rows = FILES.flatMap((file) => {
    const { machine, pruning, models }: Measured = JSON.parse(
      readFileSync(resolve(ROOT, 'bench/results', file), 'utf8'),
    );
    const kept = pruning ? `${pruning.density} in ${pruning.block}` : 'all';
    const source = `[${machine.date}, ${machine.commit}](../bench/results/${basename(file)})`;
    return models.flatMap(({ name, comparisons, contenders }) =>
      comparisons.map(({ rival, ratio, low, high }) => {
        const { version = '' } = contenders.find((one) => one.name === rival) ?? {};
        const megabytes = [contenders[0], contenders.find((one) => one.name === rival)].map((one) =>
          one ? (one.bytes / 1e6).toFixed(2) : '',
        );
        const times = `${ratio.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
        return [
          name,
          kept,
          `${rival} ${version}`.trim(),
          ratio < 1 ? times : `**${times}**`,
          megabytes.join(' / '),
          source,
        ];
      }),
    );
  });
  const head = ['model', 'weights kept', 'rival', 'times as fast as it', 'MB, ours / theirs', 'raw'];
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/** The page with the table as it must stand there. */
export function page(text: string = readFileSync(PAGE, 'utf8')): string {
  const [before, rest] = text.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined)
    throw new Error(`docs/comparison.md: ${BEGIN} and ${END} are missing.`);
  return `${before}${BEGIN}\n\n${table()}\n\n${END}${after}`;
}

if (process.argv[1] === import.meta.filename) writeFileSync(PAGE, page());
