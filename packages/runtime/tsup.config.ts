import { library } from '@grim/tsup';

// The published types name no other package: a path instead of a package name has those of @grim/ir copied into them.
export default library({
  entry: [
    'index',
    'read',
    'profile',
    'cache',
    'verify',
    'worker',
    'worker-thread',
    'threads',
    'threads-worker',
    'node',
    'stream',
    'picture',
    'sound',
    'webgpu',
  ].map((name) => `src/${name}.ts`),
  dts: { compilerOptions: { isolatedDeclarations: false, paths: { '@grim/ir': ['../ir/src/index.ts'] } } },
});
