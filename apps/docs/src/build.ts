/**
 * npm run docs: the site in apps/docs/dist, ready for any file server. `DOCS_BASE` is the path it will stand below, `DOCS_REPOSITORY` the
 * address of the source on the web; without it, links to files that are no pages are plain words.
 */
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { build } from 'vitepress';
import { configOf } from './config.ts';
import { writeReference } from './reference.ts';
import { ROOT, sources, staged } from './stage.ts';

const folder = resolve(import.meta.dirname, '../.site');
const out = resolve(import.meta.dirname, '../dist');
rmSync(folder, { recursive: true, force: true });
const pages = sources();
for (const page of pages) {
  mkdirSync(dirname(join(folder, page.to)), { recursive: true });
  writeFileSync(join(folder, page.to), staged(page, pages, process.env['DOCS_REPOSITORY']));
}
for (const name of readdirSync(join(ROOT, 'docs'), { withFileTypes: true }))
  if (name.isDirectory() || /\.(svg|png)$/.test(name.name))
    cpSync(join(ROOT, 'docs', name.name), join(folder, name.name), { recursive: true });
await writeReference(join(folder, 'reference'));
mkdirSync(join(folder, '.vitepress', 'theme'), { recursive: true });
// The theme without its fonts: those of the reader's system are there already.
writeFileSync(
  join(folder, '.vitepress', 'theme', 'index.js'),
  "export { default } from 'vitepress/theme-without-fonts';\n",
);
writeFileSync(
  join(folder, '.vitepress', 'config.js'),
  `export default ${JSON.stringify(
    configOf(
      folder,
      out,
      process.env['DOCS_BASE'] ?? '/',
      pages.map(({ to }) => to.replace(/\.md$/, '')),
    ),
  )};\n`,
);
await build(folder);
