/** What VitePress is told: the names and the order of the pages, and nothing that is fetched from elsewhere. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DefaultTheme, UserConfig } from 'vitepress';

type Item = DefaultTheme.SidebarItem;

const item = (text: string, link: string): Item => ({ text, link: `/${link}` });

/** Pages by subject. */
const SUBJECTS: readonly Item[] = [
  {
    text: 'Five minutes',
    items: [
      item('A model in your page', 'start-web'),
      item('At a shell', 'start-shell'),
      item('A study', 'start-research'),
    ],
  },
  {
    text: 'Understand',
    items: [
      item('Concepts, in pictures', 'concepts'),
      item('Compared with others', 'comparison'),
      item('Moving here', 'migrating'),
      item('What pruning keeps', 'pruning'),
      item('Limits', 'limits'),
      item('Crossbars', 'reram'),
      item('What each step of a kernel is worth', 'ablation'),
    ],
  },
  {
    text: 'Look up',
    items: [
      item('The command grim', 'packages/cli'),
      item('The .grim file', 'formats'),
      item('The text form of a graph', 'ir-text'),
      item('Operators', 'operators'),
      item('Numerics', 'numerics'),
      item('WebGPU', 'webgpu'),
      item('Sizes', 'sizes'),
      item('Bad input', 'bad-input'),
      item('Requirements and their tests', 'ux'),
      item('From nothing: a trial', 'newcomer'),
    ],
  },
  {
    text: 'Packages',
    items: ['runtime', 'vite-plugin', 'ir', 'bcr', 'prune', 'train', 'codegen', 'reram'].map((name) =>
      item(`@grim/${name}`, `packages/${name}`),
    ),
  },
  {
    text: 'Take part',
    items: [
      item('Examples', 'examples'),
      item('Contributing', 'contributing'),
      item('Adding an operator', 'adding-an-op'),
    ],
  },
];

/** All pages: those that no subject names stand at the end. */
export function sidebarOf(pages: readonly string[]): readonly Item[] {
  const named = new Set(SUBJECTS.flatMap(({ items = [] }) => items.map(({ link }) => link?.slice(1))));
  const more = pages.filter((page) => page !== 'index' && !named.has(page));
  return more.length === 0 ? SUBJECTS : [...SUBJECTS, { text: 'More', items: more.map((page) => item(page, page)) }];
}

/** A page of the reference for each entry of each package. */
function reference(folder: string): Item {
  const items = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md') && path !== 'index.md')
    .map((path) => path.replaceAll('\\', '/').replace(/\.md$/, ''))
    .sort();
  // A package with one entry has it on its first page; the first page of others is a list.
  const only = (path: string) =>
    !path.endsWith('/README') || !items.some((other) => other.startsWith(path.replace('README', 'src')));
  const name = (path: string) => `@grim/${path.replace(/\/README$/, '').replace(/\/src(?=\/|$)/, '')}`;
  return {
    text: 'Reference',
    collapsed: true,
    items: items.filter(only).map((path) => item(name(path), `reference/${path}`)),
  };
}

/** @param folder  of the staged pages; `out`: of the site */
export function configOf(
  folder: string,
  out: string,
  base: string,
  pages: readonly string[],
): UserConfig<DefaultTheme.Config> {
  return {
    title: 'GRIM',
    description: 'Pruned networks that are really smaller and faster in browsers',
    lang: 'en',
    srcDir: folder,
    outDir: out,
    cacheDir: join(folder, '.cache'),
    base,
    head: [['link', { rel: 'icon', href: 'data:,' }]],
    cleanUrls: false,
    // A link that leads nowhere ends the build.
    ignoreDeadLinks: false,
    // Raw HTML in a page is text: docs hold <model> and the like.
    markdown: { html: false },
    themeConfig: {
      outline: [2, 3],
      search: { provider: 'local' },
      sidebar: [...sidebarOf(pages), reference(join(folder, 'reference'))],
      nav: [
        item('Five minutes', 'start-web'),
        item('Concepts', 'concepts'),
        item('Compared', 'comparison'),
        item('grim', 'packages/cli'),
      ] as DefaultTheme.NavItem[],
    },
  };
}
