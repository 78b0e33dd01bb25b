import { library } from '@grim/tsup';

export default library({
  entry: {
    index: 'src/index.ts',
    'onnx/index': 'src/onnx/index.ts',
    'reference/index': 'src/reference/index.ts',
  },
});
