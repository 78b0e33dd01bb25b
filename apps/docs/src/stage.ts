/**
 * What the site is made of: docs/*.md and the READMEs of the packages, as they stand, in one folder with addresses of their own. The texts
 * have no second copy; links between them are turned into links of the site, links to other files of the repository into its address,
 * or into plain words where that is not known.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, posix, relative, resolve } from 'node:path';

export const ROOT: string = resolve(import.meta.dirname, '../../..');

/** A page by its path in the repository, and its path on the site. */
export interface Source {
  readonly from: string;
  readonly to: string;
}

/** Every page but the reference. */
export function sources(): readonly Source[] {
  const docs = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'));
  const packages = ['packages', 'apps'].flatMap((group) =>
    readdirSync(join(ROOT, group))
      .filter((name) => existsSync(join(ROOT, group, name, 'README.md')))
      .map((name) => `${group}/${name}`),
  );
  return [
    ...docs.map((name) => ({ from: `docs/${name}`, to: name === 'site.md' ? 'index.md' : name })),
    ...packages.map((folder) => ({ from: `${folder}/README.md`, to: `packages/${basename(folder)}.md` })),
    { from: 'examples/README.md', to: 'examples.md' },
    { from: 'CONTRIBUTING.md', to: 'contributing.md' },
  ];
}

/** Text and links of a page, code left out: `[words](target)` and `![words](target)`. */
export function linksOf(
  markdown: string,
): readonly { readonly target: string; readonly whole: string; readonly words: string }[] {
  const prose = markdown
    .replace(/^```[\s\S]*?^```/gm, (code) => code.replace(/[^\n]/g, ' '))
    .replace(/`[^`\n]*`/g, (code) => ' '.repeat(code.length));
  const found = [];
  for (const { 0: whole, 1: words = '', 2: target = '', index } of prose.matchAll(/\[([^\][]*)\]\(([^()\s]+)\)/g))
    found.push({
      target,
      whole: markdown.slice(index, index + whole.length),
      words: markdown.slice(index + 1, index + 1 + words.length),
    });
  return found;
}

/** The path in the repository that a link of a page leads to, without its anchor; undefined where it leads out of it, or to a place of the page. */
export function targetOf(from: string, target: string): string | undefined {
  if (/^[a-z]+:/i.test(target) || target.startsWith('#')) return undefined;
  return posix.normalize(posix.join(posix.dirname(from), target.split('#')[0] ?? ''));
}

/** The page as the site has it. @param repository  address of the source on the web, undefined: not known */
export function staged({ from, to }: Source, pages: readonly Source[], repository: string | undefined): string {
  // Marks of programs that write parts of a page, which the site would show as words.
  let text = readFileSync(join(ROOT, from), 'utf8').replace(/^<!--[^\n]*-->\n/gm, '');
  for (const { target, whole, words } of linksOf(text)) {
    const path = targetOf(from, target);
    if (path === undefined || /\.(svg|png)$/.test(path)) continue;
    const file = existsSync(join(ROOT, path, 'README.md')) ? `${path}/README.md` : path;
    const page = pages.find((one) => one.from === file);
    const anchor = target.includes('#') ? `#${target.split('#')[1]}` : '';
    const link = page
      ? `[${words}](${relative(dirname(to), page.to) || basename(page.to)}${anchor})`
      : repository === undefined
        ? words
        : `[${words}](${repository}/blob/main/${path})`;
    text = text.replaceAll(whole, link);
  }
  // Nothing in a page is a program of the site.
  return `::: v-pre\n\n${text}\n\n:::\n`;
}
