/** The documentation says nothing that is not so any more: links, pictures, tables, the map of the site, names of tests. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { page } from '../src/comparison.ts';
import { sidebarOf } from '../src/config.ts';
import { keptBy, layer, loadsOf, patternOf, pictures } from '../src/draw.ts';
import { entriesOf } from '../src/reference.ts';
import { linksOf, ROOT, sources, staged, targetOf } from '../src/stage.ts';

const pages = sources();

/** As the site and GitHub make them of headings. */
function anchorsOf(markdown: string): ReadonlySet<string> {
  const headings = markdown.replace(/^```[\s\S]*?^```/gm, '').matchAll(/^#{1,6} (.*)$/gm);
  return new Set(
    [...headings].map(([, text = '']) =>
      text
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replace(/\s/g, '-'),
    ),
  );
}

describe.each([...pages, { from: 'README.md', to: '' }].map(({ from }) => [from] as const))('%s', (from) => {
  const text = readFileSync(join(ROOT, from), 'utf8');

  it('links to what is there', () => {
    const broken = linksOf(text).flatMap(({ target }) => {
      const path = targetOf(from, target);
      if (path === undefined) return target.startsWith('#') && !anchorsOf(text).has(target.slice(1)) ? [target] : [];
      if (path.startsWith('..') || !existsSync(join(ROOT, path))) return [target];
      const anchor = target.split('#')[1];
      const file = statSync(join(ROOT, path)).isDirectory() ? join(path, 'README.md') : path;
      return anchor === undefined || anchorsOf(readFileSync(join(ROOT, file), 'utf8')).has(anchor) ? [] : [target];
    });
    expect(broken).toEqual([]);
  });

  it('begins with one title', () => {
    expect(text.replace(/^```[\s\S]*?^```/gm, '').match(/^# /gm)).toHaveLength(1);
  });
});

describe('the site', () => {
  it('has every page of docs/ in its list, and lists nothing else', () => {
    const all = pages.map(({ to }) => to.replace(/\.md$/, '')).filter((to) => to !== 'index');
    const listed = sidebarOf(all).flatMap(({ items = [] }) => items.map(({ link }) => link?.slice(1)));
    expect(listed.toSorted()).toEqual(all.toSorted());
  });

  it('links between pages lead to pages, others to the source or nowhere', () => {
    const source = { from: 'docs/migrating.md', to: 'migrating.md' };
    expect(staged(source, pages, undefined)).toContain('[the ablation](ablation.md)');
    const web = { from: 'docs/start-web.md', to: 'start-web.md' };
    expect(staged(web, pages, undefined)).toContain('](packages/vite-plugin.md)');
    expect(staged(web, pages, undefined)).toContain('configuration in any of them. The smallest page\n');
    expect(staged(web, pages, 'https://x.example/grim')).toContain(
      '](https://x.example/grim/blob/main/examples/vanilla/index.html)',
    );
    const inner = { from: 'packages/runtime/README.md', to: 'packages/runtime.md' };
    for (const { target } of linksOf(staged(inner, pages, undefined))) expect(target).not.toMatch(/^(\.\.\/){2}/);
  });

  it('shows no marks of programs that write parts of a page', () => {
    const marked = pages.filter(({ from }) => readFileSync(join(ROOT, from), 'utf8').includes('\n<!--'));
    expect(marked.map(({ from }) => from)).toContain('docs/comparison.md');
    for (const one of marked) expect(staged(one, pages, undefined)).not.toContain('<!--');
  });

  it('makes a reference of every public entry', () => {
    for (const name of readdirSync(join(ROOT, 'packages'))) {
      const entries = entriesOf(join(ROOT, 'packages', name));
      expect(entries.length, name).toBeGreaterThan(0);
      for (const entry of entries) expect(existsSync(entry), entry).toBe(true);
    }
  });
});

describe('pictures', () => {
  it('are those that the code draws now (npm run pictures)', () => {
    for (const [name, svg] of pictures())
      expect(readFileSync(join(ROOT, 'docs/pictures', name), 'utf8'), name).toBe(svg);
  });

  it('show a pattern that keeps the share that they state, in whole rows and columns of blocks', () => {
    const w = layer();
    const pattern = patternOf(w);
    const kept = keptBy(pattern);
    let count = 0;
    for (let row = 0; row < w.rows; row++) for (let col = 0; col < w.cols; col++) count += kept(row, col) ? 1 : 0;
    expect(count / w.data.length).toBeCloseTo(0.3, 2);
    const [single, ...shared] = loadsOf(w, pattern).map(({ loads }) => loads);
    expect(single).toBe(count);
    for (const loads of shared) expect(loads).toBeLessThan(count);
  });
});

it('the comparison states what the raw files say (npm run comparison)', () => {
  expect(readFileSync(join(ROOT, 'docs/comparison.md'), 'utf8')).toBe(page());
});

it('the requirements name tests that exist', () => {
  const text = readFileSync(join(ROOT, 'docs/ux.md'), 'utf8');
  const named = [...text.replace(/\s+/g, ' ').matchAll(/`([\w/.-]+\.test\.ts)` "([^"]+)"/g)];
  expect(named.length).toBeGreaterThan(40);
  const missing = named.filter(([, file = '', name = '']) => {
    const path = join(ROOT, file);
    return !existsSync(path) || !readFileSync(path, 'utf8').includes(name);
  });
  expect(missing.map(([whole]) => whole)).toEqual([]);
  expect(text.match(/^\| \d+ \| /gm)).toHaveLength(20);
});
