/** `grim dashboard`: serves the page, recorded runs and the models that are named, to this machine, until Ctrl-C. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { show } from '@grim/ir';
import { compileModel } from '../compile-model.ts';
import { about, describeFailure } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { readRegularFile } from '../files.ts';
import { importOptions } from '../import-options.ts';
import { bytes, type Io, styled } from '../output.ts';
import { checkReport, sendReport } from '../report.ts';
import { resultsPath } from '../results/store.ts';
import { wrap } from '../table.ts';
import { apiOf, type NamedModel } from './api.ts';
import type { DashboardOptions } from './args.ts';
import { type Asset, type Assets, assetsOf } from './assets.ts';
import { rivalAssets } from './rival.ts';
import { serve } from './server.ts';

export async function dashboardCommand(options: DashboardOptions, io: Io): Promise<number> {
  const { models: paths, port, database = resultsPath() } = options;
  checkReport(options, paths);
  const files = new Map<string, Asset>();
  const offer = (url: string, content: Uint8Array) => {
    files.set(url, { content, type: 'application/octet-stream' });
    return { url, bytes: content.length };
  };
  const models = paths.map((path, i): NamedModel => {
    const content = about(path, () => readRegularFile(path));
    const name = basename(path);
    if (new TextDecoder('latin1').decode(content.subarray(0, 4)) === 'GRIM') {
      const own = offer(`/models/${i}.grim`, content);
      return { name, ...own, compiled: own };
    }
    const own = offer(`/models/${i}.onnx`, content);
    try {
      const made = about(path, () => compileModel(content, importOptions(path, options)).bytes);
      return { name, ...own, compiled: offer(`/models/${i}.grim`, made) };
    } catch (error) {
      // The page may do more with it, as pruning; it says what it needs.
      io.err(`${describeFailure(error, false).text.trimEnd()} It cannot be timed as it is.\n`);
      return { name, ...own, compiled: null };
    }
  });
  await using served = await serve({
    port,
    assets: new Map([...rivalAssets(), ...pages(), ...files]),
    api: apiOf(database, models),
  });
  const url = served.url;
  // Before anybody reads where the page is: from here on an interruption is its proper end.
  const stopped = io.untilStopped?.();
  const report = { schema: 'grim.dashboard/1', url, port: served.port, models, database: database ?? null };
  if (sendReport(report, options, paths, io)) io.out(textOf(url, models, database, io));
  if (options.open) openBrowser(url, io);
  await stopped;
  return EXIT.done;
}

function textOf(url: string, models: readonly NamedModel[], database: string | undefined, io: Io): string {
  const runs = database === undefined ? 'none are kept (GRIM_RESULTS is off)' : show(database);
  return [
    styled(io, 'bold', `The dashboard is at ${url}`),
    ...models.map(({ name, bytes: size }) => `  ${show(name)}, ${bytes(size)}`),
    ...wrap(`  Recorded runs: ${runs}`, io.columns, '    '),
    '  For this machine only. Ctrl-C ends it.',
    '',
  ].join('\n');
}

/** The dashboard where it was built, and the plain pages: of recorded runs, and of two models side by side. */
function pages(): Assets {
  const own = join(import.meta.dirname, import.meta.filename.endsWith('.ts') ? '../../page' : 'page');
  const built = [join(import.meta.dirname, 'dashboard'), join(import.meta.dirname, '../../../dashboard/dist')];
  const dashboard = assetsOf(built.find((folder) => existsSync(join(folder, 'index.html'))) ?? '', '/');
  const plain = assetsOf(own, '/plain/');
  const start =
    dashboard.size > 0 ? [] : [...plain].filter(([path]) => path === '/plain/').map(([, page]) => ['/', page] as const);
  return new Map([...start, ...plain, ...runtime(), ...dashboard]);
}

/** What plain pages run models with: the package as it is published. */
function runtime(): Assets {
  const manifest = createRequire(import.meta.url).resolve('@grim/runtime/package.json');
  return new Map([...assetsOf(join(dirname(manifest), 'dist'), '/runtime/')].filter(([path]) => path.endsWith('.js')));
}

function openBrowser(url: string, io: Io): void {
  const [program, ...args] =
    process.platform === 'darwin'
      ? ['open', url]
      : process.platform === 'win32'
        ? ['explorer', url]
        : ['xdg-open', url];
  const child = spawn(program ?? '', args, { stdio: 'ignore', detached: true });
  child.on('error', () => io.err(`grim: no browser could be started. Open ${url} yourself.\n`));
  child.unref();
}
