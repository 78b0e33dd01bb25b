// Which package may import which, checked in every package.json and in every import of the sources.
// Prints one sentence per offence, with file and line. The table is the one of docs/architecture.md.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';

const packages = ['ir', 'bcr', 'prune', 'train', 'codegen', 'runtime', 'reram'].map((name) => `@grim/${name}`);
/** Private ones that programs share, and carry in their own bundles. */
const shared = ['@grim/measure', '@grim/demo-data', '@grim/files'];
const tooling = [...shared, '@grim/browser', '@grim/tsconfig', '@grim/tsup', '@grim/vitest', '@grim/scripts'];

/** What a package may import: siblings by value, by type alone, in tests alone; `platform`: whether it may use node:*. */
const table = {
  '@grim/ir': { value: [], type: [] },
  '@grim/bcr': { value: ['@grim/ir'], type: [] },
  '@grim/prune': { value: ['@grim/ir', '@grim/bcr'], type: [] },
  '@grim/train': { value: ['@grim/ir', '@grim/files'], type: ['@grim/prune'], platform: true },
  '@grim/codegen': { value: ['@grim/ir', '@grim/bcr'], type: [] },
  // The bundle of the runtime imports nothing: no package of any name by value.
  '@grim/runtime': { value: [], type: ['@grim/ir'], tests: ['@grim/codegen'], platform: true, typesOnly: true },
  '@grim/reram': { value: ['@grim/ir', '@grim/bcr'], type: [] },
  '@grim/vite-plugin': { value: ['@grim/codegen', '@grim/runtime'], type: [], tests: ['@grim/ir'], platform: true },
  '@grim/conformance': { value: packages, type: [], platform: true },
  // The page of the dashboard is copied into the command when that is built; what it is served with is bundled.
  '@grim/cli': {
    value: [...packages, '@grim/conformance', '@grim/dashboard', ...shared],
    type: [],
    platform: true,
  },
  '@grim/docs': {
    value: ['@grim/bcr', '@grim/ir', '@grim/reram'],
    type: [],
    platform: true,
  },
  '@grim/dashboard': {
    // Of @grim/train its entry for sound alone, which imports no engine.
    value: [...packages, ...shared],
    type: [],
    platform: true,
  },
};
/** Top folders whose packages may import any package and node:*. */
const free = ['tooling', 'examples', 'bench'];
const freeRule = {
  value: [...packages, '@grim/vite-plugin', '@grim/cli', '@grim/conformance', ...tooling],
  type: [],
  platform: true,
};
/** Private packages that a published one bundles, hence lists among its devDependencies. */
const bundled = ['@grim/conformance', '@grim/dashboard', ...shared];
/** Engines that are oracle or peer everywhere else. */
const trainOnly = ['onnxruntime-node', 'onnxruntime-web'];

/** Every offence under `root` against the rules above, as sentences. */
export function offences(root) {
  const found = [];
  for (const folder of workspace(root)) {
    const manifest = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
    const rule = table[manifest.name] ?? (free.includes(folder.split('/')[0]) ? freeRule : undefined);
    const file = `${folder}/package.json`;
    if (!rule) {
      found.push(`${file}:1: ${manifest.name} has no row in the table of tooling/scripts/imports.mjs; add one.`);
      continue;
    }
    found.push(...checkManifest(root, file, manifest, rule), ...checkSources(root, folder, manifest, rule));
  }
  return found;
}

function workspace(root) {
  const groups = ['packages', 'apps', 'tooling'].filter((group) => existsSync(join(root, group)));
  const nested = groups.flatMap((group) => readdirSync(join(root, group)).map((name) => `${group}/${name}`));
  return [...nested, 'conformance', 'bench', 'examples'].filter((folder) =>
    existsSync(join(root, folder, 'package.json')),
  );
}

function checkManifest(root, file, manifest, rule) {
  const lines = readFileSync(join(root, file), 'utf8').split('\n');
  const found = [];
  for (const kind of ['dependencies', 'peerDependencies', 'optionalDependencies', 'devDependencies']) {
    for (const name of Object.keys(manifest[kind] ?? {})) {
      const line = lines.findIndex((text) => text.includes(`"${name}":`)) + 1;
      if (
        name.startsWith('@grim/') &&
        !allowed(rule, name) &&
        !(kind === 'devDependencies' && [...tooling, ...(rule.tests ?? [])].includes(name))
      ) {
        found.push(`${file}:${line}: ${manifest.name} must not depend on ${name}${mayImport(rule)}.`);
      }
      if (
        trainOnly.includes(name) &&
        !['@grim/train'].includes(manifest.name) &&
        kind === 'dependencies' &&
        !isFree(file)
      ) {
        found.push(`${file}:${line}: ${name} is a dependency of @grim/train alone; elsewhere it is a devDependency.`);
      }
    }
  }
  return found;
}

const isFree = (file) => free.includes(file.split('/')[0]);
const allowed = (rule, name) => rule.value.includes(name) || rule.type.includes(name);
const mayImport = ({ value, type }) => {
  const list = [...value, ...type.map((name) => `the types of ${name}`)];
  return list.length > 0 ? `: it may import ${list.join(', ')}` : ': it may import no other package';
};

function checkSources(root, folder, manifest, rule) {
  const found = [];
  const graph = new Map();
  const declared = { ...manifest.dependencies, ...manifest.peerDependencies, ...manifest.optionalDependencies };
  for (const path of sources(join(root, folder))) {
    const file = relative(root, path).replaceAll('\\', '/');
    const inner = file.slice(folder.length + 1);
    const isTest = !inner.startsWith('src/') || /\.(test|bench|fuzz)\.[cm]?[jt]sx?$/.test(inner);
    for (const { specifier, line, typeOnly, named } of importsOf(path)) {
      const at = `${file}:${line}:`;
      if (specifier.startsWith('.')) {
        const target = resolve(dirname(path), specifier);
        if (relative(join(root, folder), target).startsWith('..')) {
          if (!isFree(folder)) found.push(`${at} '${specifier}' leaves the package; import the sibling by its name.`);
        } else if (!typeOnly) {
          graph.set(path, [...(graph.get(path) ?? []), { target, at, specifier }]);
        }
        continue;
      }
      if (isBuiltin(specifier)) {
        if (!typeOnly && !isTest && !rule.platform) {
          found.push(`${at} ${manifest.name} runs everywhere and must not import '${specifier}' in src.`);
        }
        continue;
      }
      const name = specifier
        .split('/')
        .slice(0, specifier.startsWith('@') ? 2 : 1)
        .join('/');
      if (name === manifest.name) {
        if (!isTest) found.push(`${at} '${specifier}' is this very package; import the file instead.`);
      } else if (name.startsWith('@grim/')) {
        if (isTest && [...tooling, ...(rule.tests ?? [])].includes(name)) continue;
        if (!allowed(rule, name)) {
          found.push(`${at} ${manifest.name} must not import ${name}${mayImport(rule)}.`);
        } else if (!typeOnly && !isTest && !rule.value.includes(name)) {
          found.push(`${at} ${manifest.name} may import the types of ${name} only${named}.`);
        } else if (!typeOnly && !isTest && !declared[name] && !bundled.includes(name) && !isFree(folder)) {
          found.push(`${at} ${name} is not among the dependencies of ${manifest.name}.`);
        }
      } else if (!typeOnly && !isTest && !isFree(folder)) {
        if (rule.typesOnly) found.push(`${at} ${manifest.name} must not import '${specifier}' by value${named}.`);
        else if (trainOnly.includes(name) && manifest.name !== '@grim/train') {
          found.push(`${at} '${specifier}' may be imported by @grim/train and by tests only.`);
        } else if (!declared[name]) {
          found.push(`${at} '${specifier}' is not among the dependencies of ${manifest.name}.`);
        }
      }
    }
  }
  return [...found, ...cycles(root, graph)];
}

function* sources(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (['node_modules', 'dist', 'coverage', '.results', '.turbo'].includes(entry.name)) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* sources(path);
    else if (/\.[cm]?[jt]sx?$/.test(entry.name) && !/\.config\.[cm]?[jt]s$/.test(entry.name)) yield path;
  }
}

/** The imports of a file: what they name, where, and whether nothing of them is left at run time. */
function importsOf(path) {
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
  const found = [];
  const add = (node, literal, typeOnly, named = '') => {
    const { line } = source.getLineAndCharacterOfPosition(node.getStart(source));
    found.push({ specifier: literal.text, line: line + 1, typeOnly, named });
  };
  // `import { type T } from` keeps an empty import under verbatimModuleSyntax: a value import for our purpose.
  const hint = (elements) =>
    elements?.length > 0 && elements.every(({ isTypeOnly }) => isTypeOnly) ? ' (write `import type { … }`)' : '';
  const visit = (node) => {
    if (ts.isImportDeclaration(node)) {
      const clause = node.importClause;
      add(node, node.moduleSpecifier, clause?.isTypeOnly ?? false, hint(clause?.namedBindings?.elements));
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
      add(node, node.moduleSpecifier, node.isTypeOnly, hint(node.exportClause?.elements));
    } else if (ts.isImportEqualsDeclaration(node) && ts.isExternalModuleReference(node.moduleReference)) {
      add(node, node.moduleReference.expression, node.isTypeOnly);
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node, node.argument.literal, true);
    } else if (ts.isCallExpression(node) && node.arguments[0] && ts.isStringLiteralLike(node.arguments[0])) {
      const { expression } = node;
      const isRequire = ts.isIdentifier(expression) && expression.text === 'require';
      if (isRequire || expression.kind === ts.SyntaxKind.ImportKeyword) add(node, node.arguments[0], false);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Cycles of value imports inside one package, each reported once. (Type imports leave no trace at run time.) */
function cycles(root, graph) {
  const found = [];
  const done = new Set();
  const trail = [];
  const name = (path) => relative(root, path).replaceAll('\\', '/');
  const visit = (path) => {
    if (done.has(path)) return;
    trail.push(path);
    for (const { target, at } of graph.get(path) ?? []) {
      const next = file(target);
      const start = next ? trail.indexOf(next) : -1;
      if (start >= 0) found.push(`${at} import cycle: ${[...trail.slice(start), next].map(name).join(' → ')}.`);
      else if (next) visit(next);
    }
    trail.pop();
    done.add(path);
  };
  for (const path of graph.keys()) visit(path);
  return found;
}

/** The file behind a relative import. */
function file(target) {
  const tries = [target, `${target}.ts`, target.replace(/\.([cm]?)js$/, '.$1ts'), join(target, 'index.ts')];
  return tries.find((path) => existsSync(path) && statSync(path).isFile());
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const found = offences(resolve(import.meta.dirname, '../..'));
  for (const sentence of found) console.error(sentence);
  if (found.length > 0) process.exitCode = 1;
}
