/**
 * The measured tables of docs/comparison.md: written from the raw files of `bench/results`, a row for each model and rival of the
 * files named here, the slower ones too. `npm run comparison` writes them anew; a test says when they are out of date.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../../..');
const PAGE = resolve(ROOT, 'docs/comparison.md');

/** Of dense networks, and of pruned ones; all of one machine. */
const FILES = [
  '2026-11-23-models-dense-quiet.json',
  '2026-11-23-models-resnet18-0.125-2xK.json',
  '2026-11-23-models-resnet18-0.125-4xK.json',
  '2026-11-24-models-gru2x1024_t100-0.1-64x256.json',
];

/** All engines of the browser in one page. */
const IN_A_PAGE = '2026-11-24-peers.json';

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

interface InAPage {
  readonly machine: Measured['machine'];
  readonly versions: Readonly<Record<string, string>>;
  readonly networks: readonly {
    readonly name: string;
    readonly comparisons: readonly {
      readonly ours: string;
      readonly rival: string;
      readonly theirs: string;
      readonly ratio: number;
      readonly low: number;
      readonly high: number;
    }[];
    readonly contenders: readonly { readonly engine: string; readonly weights: string; readonly bytes: number }[];
  }[];
}

/** Of engines in Node, in Markdown. */
function inNode(): string {
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
        return [name, kept, `${rival} ${version}`.trim(), times({ ratio, low, high }), megabytes.join(' / '), source];
      }),
    );
  });
  return markdown(['model', 'weights kept', 'rival', 'times as fast as it', 'MB, ours / theirs', 'raw'], rows);
}

/** Of engines in one page of a browser. */
function inAPage(): string {
  const { machine, versions, networks }: InAPage = JSON.parse(
    readFileSync(resolve(ROOT, 'bench/results', IN_A_PAGE), 'utf8'),
  );
  const source = `[${machine.date}, ${machine.commit}](../bench/results/${IN_A_PAGE})`;
  const versionOf: Readonly<Record<string, string | undefined>> = {
    'onnxruntime-web': versions['onnxruntime-web'],
    tfjs: versions['@tensorflow/tfjs-backend-wasm'],
    litert: versions['@litertjs/core'],
  };
  const kept = (weights: string) => (weights === 'dense' ? 'all' : weights);
  const rows = networks.flatMap(({ name, comparisons, contenders }) =>
    comparisons.map(({ ours, rival, theirs, ...ratio }) => {
      const megabytes = [
        contenders.find(({ engine, weights }) => engine === 'grim' && weights === ours),
        contenders.find(({ engine, weights }) => engine === rival && weights === theirs),
      ].map((one) => (one ? (one.bytes / 1e6).toFixed(2) : ''));
      const sparse = theirs === 'dense' ? '' : ' as CSR';
      return [
        ...[name, kept(ours), `${rival} ${versionOf[rival] ?? ''}`.trim(), kept(theirs) + sparse],
        ...[times(ratio), megabytes.join(' / '), source],
      ];
    }),
  );
  return markdown(
    ['model', 'weights kept', 'rival', 'rival keeps', 'times as fast as it', 'MB, ours / theirs', 'raw'],
    rows,
  );
}

/** A ratio and its interval; bold where ours is faster. */
function times({ ratio, low, high }: { readonly ratio: number; readonly low: number; readonly high: number }): string {
  const text = `${ratio.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
  return ratio < 1 ? text : `**${text}**`;
}

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/** Between its marks. */
function replaced(text: string, mark: string, table: string): string {
  const [begin, end] = [`<!-- ${mark}: begin -->`, `<!-- ${mark}: end -->`];
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined)
    throw new Error(`docs/comparison.md: ${begin} and ${end} are missing.`);
  return `${before}${begin}\n\n${table}\n\n${end}${after}`;
}

/** The page with the tables as they must stand there. */
export function page(text: string = readFileSync(PAGE, 'utf8')): string {
  return replaced(replaced(text, 'measured', inNode()), 'in a page', inAPage());
}

if (process.argv[1] === import.meta.filename) writeFileSync(PAGE, page());
