// npm run demo: set-up, build, then the two commands on the small model of this repository.
import { grim, setup, step } from './steps.mjs';

const ok =
  setup() &&
  step('turbo', ['run', 'build', '--filter=@grim/cli...', '--output-logs=errors-only']) &&
  show('inspect', 'apps/cli/demo/tiny-cnn/model.onnx') &&
  show('verify', 'apps/cli/demo');
process.exitCode = ok ? 0 : 1;

function show(...args) {
  console.log(`\n$ grim ${args.join(' ')}`);
  return step(grim, args);
}
