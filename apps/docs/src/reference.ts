/** The reference of every package, from its doc comments, as Markdown: TypeDoc with its Markdown plugin. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Application } from 'typedoc';
import { ROOT } from './stage.ts';

interface Manifest {
  readonly exports: Readonly<Record<string, string | { readonly '@grim/source'?: string }>>;
}

/** Sources of the public entries of a package, scripts of workers left out: they export nothing. */
export function entriesOf(folder: string): readonly string[] {
  const { exports }: Manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return Object.entries(exports).flatMap(([name, targets]) => {
    const source = typeof targets === 'string' ? undefined : targets['@grim/source'];
    return source === undefined || /(worker-thread|threads-worker)$/.test(name) ? [] : [join(folder, source)];
  });
}

/** Writes `<out>/<package>/…md`, a page for each entry. */
export async function writeReference(out: string): Promise<void> {
  for (const name of readdirSync(join(ROOT, 'packages'))) {
    const folder = join(ROOT, 'packages', name);
    const options = {
      entryPoints: [...entriesOf(folder)],
      tsconfig: join(folder, 'tsconfig.json'),
      basePath: folder,
      plugin: ['typedoc-plugin-markdown'],
      router: 'module',
      out: join(out, basename(folder)),
      readme: 'none',
      name: `@grim/${name}`,
      hidePageHeader: true,
      hideBreadcrumbs: true,
      useHTMLAnchors: false,
      useCodeBlocks: true,
      parametersFormat: 'table',
      interfacePropertiesFormat: 'table',
      disableSources: true,
      excludePrivate: true,
      excludeInternal: true,
      skipErrorChecking: true,
      githubPages: false,
      validation: false,
      logLevel: 'Error',
    } as const;
    const app = await Application.bootstrapWithPlugins(options as never);
    const project = await app.convert();
    if (!project) throw new Error(`@grim/${name}: TypeDoc made nothing of it.`);
    await app.generateOutputs(project);
  }
}
