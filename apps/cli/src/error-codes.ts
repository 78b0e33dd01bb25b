/**
 * What each code means and what to do about it: `grim help CODE` prints it, `docs/errors.md` is written from it, and a test
 * holds that no code of the sources is missing here and none stands here that the sources lack. An error's own sentence has
 * the names and values of the case; this has what all cases share.
 */
import { show, suggest } from '@grim/ir';
import { UsageError } from './errors.ts';
import type { Io } from './output.ts';
import { wrap } from './table.ts';

interface Explained {
  /** What was found. */
  readonly cause: string;
  /** What to do. */
  readonly remedy: string;
}

interface Family {
  /** Of the codes: `GRIM_<prefix>_…`. */
  readonly prefix: string;
  readonly title: string;
  /** Code without its prefix → cause, remedy. */
  readonly codes: Readonly<Record<string, readonly [cause: string, remedy: string]>>;
}

const AGAIN = 'Get the file again: it was cut off or changed on its way.';
const REPORT = 'This is a bug of GRIM: please report it with the file and the command line.';

const FAMILIES: readonly Family[] = [
  {
    prefix: 'CLI',
    title: 'The command line',
    codes: {
      USAGE: [
        'An option or an argument is missing, misspelt, twice or out of range.',
        'The sentence says which; `grim COMMAND --help` lists what there is.',
      ],
      NOT_FOUND: [
        'There is no file or folder of that name.',
        'Look at the spelling and at the folder that the command runs in; the sentence names the nearest one.',
      ],
      NOT_A_FILE: ['It is a folder, a FIFO, a socket or a device.', 'Give a regular file.'],
      UNREADABLE: ['The file may not, or cannot, be read.', 'Look at its permissions (`ls -l`) and at the disk.'],
      TOO_LARGE: [
        'The file is larger than 1 GiB, or than such a file ever is.',
        'Look whether it is the file that was meant; keep large weights of a model as external data.',
      ],
      CHANGED: ['The file changed while it was read.', 'Wait until nothing writes to it, and run the command again.'],
      NO_CASES: [
        'No model is in the folder, or the filter leaves none.',
        'Give the folder with the `model.onnx` files, or another `--filter`.',
      ],
      BAD_TENSOR: [
        'The file holds no tensor, or not one that the input takes.',
        'The sentence has both shapes. Give `.npy`, `.npz`, `.pb` or `.json` of the shape and element type of the input; pictures take `--resize`, `--layout` and `--channels`.',
      ],
      BAD_IMAGE: [
        'It is no PNG or JPEG file, it is damaged, or it is of a kind that no model takes (transparent, CMYK, very large).',
        'Convert it to RGB or gray without transparency.',
      ],
      BAD_AUDIO: [
        'It is no WAV file, or a damaged or a compressed one.',
        'Save it as PCM of 8 to 32 bits, or as floats.',
      ],
      BAD_LABELS: [
        'The list of names is no text in UTF-8, or fits no output.',
        'One name per line, as many as the output has values.',
      ],
      SCHEDULES: [
        'The file of `--schedules` is no report of `grim tune`, or one of another model.',
        'Write one with `grim tune --json FILE`, from the same model with the same lengths and weights.',
      ],
      TUNE: ['A candidate of a search computes something else than the default.', REPORT],
      BAD_MODEL: [
        'A description of a network is no JSON, or a compiled model stands where a network is needed.',
        'Give the `.onnx`, `.ir` or `.json` file that the model was made of.',
      ],
      NO_TRAINER: ['`grim train` needs @grim/train, which is not installed.', 'Run `npm install @grim/train`.'],
      PEER: [
        'Another engine does not run the model: `bench` leaves it out and says so.',
        'Compare with one that does: `--against`.',
      ],
      DIFFERENT: [
        'Two engines compute different values from one model: nothing was timed.',
        'Find the first layer that is off with `grim verify --bisect`; weights in eight bits often explain it.',
      ],
      RESULTS: [
        'The database of results is damaged, locked, of something else or of a newer grim, or the disk is full.',
        'Name another with `GRIM_RESULTS=FILE`, or keep none with `--no-record`. The run itself is not lost.',
      ],
      BAD_REQUEST: [
        'A page of `grim farm` sent something that is no measurement.',
        'Load the page again on that device; the address is for devices of your own.',
      ],
      PORT: [
        'The port of the dashboard is taken, or may not be used.',
        'Choose another: `--port N`; 0 takes a free one.',
      ],
      OUTPUT: [
        'The output must not be written there: it is a folder or a file that was read, or something else stands there.',
        'Choose another name; `--force` replaces a file that grim did not write.',
      ],
      WRITE: [
        'Writing failed; what was there before is unchanged.',
        'Make room on the disk, or choose a folder that you may write to. Long runs go on where they were.',
      ],
      OUT_OF_MEMORY: [
        'There is not enough memory.',
        'Give Node more (`NODE_OPTIONS=--max-old-space-size=4096`), fewer examples or a smaller batch.',
      ],
      INTERRUPTED: [
        'Ctrl-C, or a signal to end. No half-written file is left.',
        'Run the same command: what was finished is kept where the message says so.',
      ],
      INTERNAL: ['Something happened that cannot happen.', REPORT],
      BAD_RECIPE: [
        'The recipe of `grim prune` is none, or says something that no recipe can.',
        'Begin with `{ "schema": "grim.prune-recipe/1", "density": 0.25, "block": "2xK" }`.',
      ],
      BAD_RECORD: [
        'The file is no record of a run.',
        'Give the `.run.json` file beside an output of `prune`, `train`, `tune`, or of `compile --run-json`.',
      ],
      CLOCK: ['One run takes less time than the clock can tell.', 'Give a larger batch, as `--dim N=64`.'],
    },
  },
  {
    prefix: 'RUNTIME',
    title: 'Loading and running a compiled model',
    codes: {
      BAD_SOURCE: [
        'What was loaded is no model: it is missing, an error page, a pointer of Git LFS, or another file.',
        'Open the address in a browser: it must answer with the bytes of the `.grim` file, not with HTML.',
      ],
      NETWORK: [
        'The connection failed or ended early.',
        'Try again; `@grim/runtime/cache` keeps models for the next time.',
      ],
      BAD_ARTIFACT: [
        'The model file is damaged.',
        `${AGAIN} Servers must not change it; compression is undone by the browser.`,
      ],
      BAD_VERSION: [
        'The file is of a newer major version than the runtime reads.',
        'Update @grim/runtime, or compile the model with the version that is installed.',
      ],
      BAD_OPTION: ['An option does not exist or has a wrong value.', 'The sentence has the nearest name.'],
      BAD_INPUT: [
        'An input is missing, has an unknown name, or another type or length than the model takes.',
        '`model.inputs` has names, types and shapes; `grim types` makes the compiler check them.',
      ],
      NO_DEVICE: [
        'The device that was asked for is not there, or the file has no code for it.',
        'Leave `device` out, or compile with `--target wasm,webgpu`.',
      ],
      MISSING_FEATURE: [
        'The platform lacks something that the model needs, such as SIMD or shared memory.',
        'The sentence says what; for threads, serve the page with COOP and COEP headers.',
      ],
      OUT_OF_MEMORY: [
        'The platform gives no memory for the model.',
        'Dispose of models that are not used, or choose a smaller one.',
      ],
      SELF_TEST: [
        'The model computes other values here than where it was compiled: it is not used.',
        'Load it again; if that does not help, compile it anew and report the device.',
      ],
      TRAP: [
        'A kernel stopped: the code of the file is wrong, or memory was damaged.',
        `Load the model again. ${REPORT}`,
      ],
      TIMEOUT: [
        'A model in a worker gave no sign of life for as long as the caller waits.',
        'Raise `timeout`, or look whether the page is suspended.',
      ],
      WORKER_LOST: [
        'The worker of a model ended, or could not be started.',
        'Look at the `worker-src` of the content security policy and at the path of the script; then load again.',
      ],
      DEVICE_LOST: ['The GPU was lost or does not answer.', 'Load the model again, or with `device: "wasm"`.'],
      SHADER: [
        'The GPU refuses shaders or calls of the file.',
        'Load it with `device: "wasm"`, and report the adapter.',
      ],
      DISPOSED: ['The model was disposed of.', 'Load it again, or dispose of it later.'],
    },
  },
  {
    prefix: 'IR',
    title: 'Graphs',
    codes: {
      SHAPE_MISMATCH: [
        'Shapes of one node do not fit together.',
        'The sentence has both. Look at the layout first: NCHW is expected.',
      ],
      SHAPE_OVERFLOW: [
        'A shape has a higher rank or more elements than is supported.',
        'Bind smaller lengths: `--dim`, `--shape`.',
      ],
      DTYPE_MISMATCH: ['Element types of one node do not fit together.', 'Put a Cast between them.'],
      UNKNOWN_VALUE: [
        'A node uses a value that nothing makes.',
        'Look at its name: an input, a weight or an earlier output is needed.',
      ],
      DUPLICATE_NAME: ['Two values have one name.', 'Rename one of them.'],
      CYCLE: [
        'Nodes wait for each other in a circle.',
        'Recurrent state belongs into the inputs and outputs of the graph.',
      ],
      ORDER: ['A node uses what a later node makes.', 'Put the nodes in the order in which they compute.'],
      ARITY: ['A node has too many or too few inputs or outputs.', 'The sentence has how many the operator takes.'],
      UNSUPPORTED_OP: [
        'The operator is not among those of GRIM.',
        'See docs/operators.md; export the model with other operators, or leave the part out.',
      ],
      UNSUPPORTED_DTYPE: ['The element type is not supported here.', 'Export the model with float32.'],
      BAD_ATTRIBUTE: [
        'An attribute is missing, unknown, or has a value that it cannot have.',
        'The sentence has what is allowed.',
      ],
      BAD_WEIGHT: [
        'The values of a weight are missing, or others than were named.',
        'Give the weights that the text was printed with.',
      ],
      BAD_NAME: ['A name is empty, too long or no valid text.', 'Rename it.'],
      PATTERN_MISMATCH: [
        'The BCR pattern of a weight does not fit the weight.',
        'Prune again, or attach patterns with `attachPatterns`.',
      ],
      UNBOUND_DIM: ['A length is open that must be known.', 'Bind it: `--dim N=1`, or `bind()` in a program.'],
      BAD_BINDING: ['A length or an input was bound that the model does not have.', '`grim inspect` shows the names.'],
      LIMIT: [
        'The graph passes a limit: nodes, weights, nesting, names.',
        'The sentence names the limit; raise it where the file is trusted.',
      ],
      NONFINITE: ['A weight holds NaN or infinity.', 'Train again with a lower rate, or export the model again.'],
      UNUSED: ['Nothing uses what a node or a weight holds.', 'Remove it; this is a warning.'],
      PARSE: [
        'The text form cannot be read.',
        'The sentence has line and column, what was found and what was needed; see docs/ir-text.md.',
      ],
      BAD_INPUT: ['An input of an evaluation is missing or does not fit.', 'The sentence has its type and shape.'],
      BAD_VALUE: [
        'A value that decides a shape or an index is out of range.',
        'Look at the inputs that hold lengths and indices.',
      ],
    },
  },
  {
    prefix: 'ONNX',
    title: 'ONNX files',
    codes: {
      EMPTY: ['The file has no bytes.', AGAIN],
      NOT_ONNX: [
        'It is something else: a page, an archive, a pointer of Git LFS, a file of another tool.',
        'Fetch the file itself, as with `git lfs pull`.',
      ],
      TRUNCATED: ['The file ends too early.', AGAIN],
      TRAILING: ['Bytes follow the end of the model.', 'Remove them; two files may have been joined.'],
      WIRE: ['The bytes are no valid protobuf of the ONNX schema.', AGAIN],
      DEPTH: [
        'Messages are nested deeper than is allowed.',
        'Such a file is made to break readers; export the model again.',
      ],
      DUPLICATE_FIELD: ['A field stands twice that may stand once.', 'Export the model again.'],
      UNKNOWN_FIELD: ['The file has a field that ONNX does not define.', AGAIN],
      LIMIT: [
        'The file passes a limit of the reader.',
        'The sentence names the limit; raise it where the file is trusted.',
      ],
      BAD_TEXT: ['A name is no valid UTF-8.', 'Export the model again.'],
      MISSING_FIELD: ['A part is missing that every model has.', 'Export the model again.'],
      BAD_VERSION: [
        'The version of the format or of an operator set is not supported.',
        "Convert it with ONNX's version converter, or export it with an opset that the sentence names.",
      ],
      BAD_TENSOR: [
        'A tensor contradicts itself: its bytes, shape or element type.',
        'Export the model again, with whole tensors.',
      ],
      BAD_FUNCTION: [
        'A function of the model calls itself, or is defined wrongly.',
        'Export the model with its functions inlined.',
      ],
      EXTERNAL_DATA: [
        'Weights lie in another file, which is missing or may not be read.',
        "Put that file into the model's folder; links and paths out of it are refused.",
      ],
      UNSUPPORTED_TYPE: [
        'An element type, or a kind of value, is not supported.',
        'Export the model with float32 and plain tensors.',
      ],
      EXPORT: ['The graph cannot be written as ONNX in this version.', 'Choose an opset that the sentence names.'],
    },
  },
  {
    prefix: 'BCR',
    title: 'Sparse matrices',
    codes: {
      BAD_GRID: ['A grid of blocks does not fit the matrix, or a block is too large.', 'Sides from 1 to 65536.'],
      BAD_MATRIX: ['Lengths of matrices do not fit together.', 'The sentence has both.'],
      BAD_TARGET: ['A density or a share is out of range.', 'A number above 0, up to 1.'],
      PATTERN_MISMATCH: ['A pattern does not fit its grid.', 'One entry for each block, indices ascending.'],
      BAD_MAGIC: ['The bytes are no sparse matrix.', 'Give a file of `toBytes`.'],
      BAD_VERSION: ['The file is of a newer version.', 'Update @grim/bcr.'],
      CORRUPT: ['The file is damaged.', AGAIN],
    },
  },
  {
    prefix: 'PRUNE',
    title: 'Pruning',
    codes: {
      BAD_TARGET: [
        'A density or an aim is out of range, or no network reaches it.',
        'Ask for less, or allow lower densities; the sentence names the layer that binds.',
      ],
      BAD_OPTION: ['An option has a value that it cannot have.', 'The sentence has what is allowed.'],
      BAD_CALIBRATION: [
        'There are no examples, or they are uneven or not finite.',
        'Give some hundred inputs of the network, prepared as for training.',
      ],
      BAD_STATE: [
        'The state to resume from is of another run.',
        'Give the options of that run, or remove the folder `FILE.layers`.',
      ],
      NO_LAYER: ['There is no such layer, or none that can be pruned.', '`grim prune --dry-run` lists the layers.'],
      SINGULAR: [
        'The examples do not determine the weights of a layer.',
        'Give more and more varied examples, or raise the damping.',
      ],
      DIVERGED: ['New weights are not finite.', 'Raise the damping, or look for extreme values among the examples.'],
    },
  },
  {
    prefix: 'TRAIN',
    title: 'Training',
    codes: {
      NO_GRADIENT: [
        'An operator between the loss and a weight has no gradient.',
        'Train only the weights behind it, or export the network without it.',
      ],
      BAD_NETWORK: [
        'There is no weight to train, or no loss fits the output.',
        'End the network with one score for each class.',
      ],
      BAD_OPTION: ['An option has a value that it cannot have.', 'The sentence has what is allowed.'],
      BAD_DATA: [
        'The examples are none that are known, or do not fit the network.',
        'CIFAR-10 binaries, MNIST idx, `.npz`, or a folder for each class with PNG or WAV files.',
      ],
      BAD_CHECKPOINT: [
        'The checkpoint is of another run, or damaged.',
        'Give the options of that run, or remove the folder `FILE.training` to begin again.',
      ],
      DIVERGED: [
        'The loss or a weight is no longer finite.',
        'Lower `--rate`, clip the gradients (`--clip-norm 1`), or warm up (`--warmup 100`).',
      ],
      ENGINE: [
        'onnxruntime-node refuses the training graph.',
        'Update onnxruntime-node, and report the network if that does not help.',
      ],
    },
  },
  {
    prefix: 'CODEGEN',
    title: 'Compiling',
    codes: {
      UNSUPPORTED_OP: [
        'Nodes have no kernels, each for a reason that the sentence names; nothing was written.',
        '`grim inspect` lists all of them with their share of the work; see docs/operators.md.',
      ],
      BAD_SCHEDULE: ['A schedule asks for a kernel that the layer cannot have.', 'Leave it out, or tune again.'],
      BAD_STREAM: ['A packed matrix is one that no kernel may walk over.', 'Compile the model again.'],
      BAD_STATE: [
        'A recurrent state names values that do not fit together.',
        'An input and an output of one type and shape, each once.',
      ],
      BAD_OPTION: ['An option has a value that it cannot have.', 'The sentence has what is allowed.'],
      LIMIT: ['A name or a list is longer than readers accept.', 'Shorten it.'],
      DEVICE_LIMIT: [
        'The model needs more than WebAssembly or the GPU can give.',
        'Bind smaller lengths, or split the model.',
      ],
      NO_SHADER: [
        'A kernel has no shader, so the model cannot run on a GPU.',
        'Compile with `--target wasm`; see docs/webgpu.md.',
      ],
      WEIGHT_RANGE: ['A weight is larger than the encoding can hold.', 'Store the weights as f32 or bf16.'],
    },
  },
  {
    prefix: 'RERAM',
    title: 'Crossbars',
    codes: {
      BAD_DEVICE: ['The description of a memory cell contradicts itself.', 'The sentence has the range of each value.'],
      BAD_CROSSBAR: ['The description of an array contradicts itself.', 'The sentence has the range of each value.'],
      BAD_ADC: ['Limits or bits of converters do not fit the mapping.', 'One for each array, or one for each slice.'],
      BAD_MATRIX: [
        'There is no constant matrix, or one with values that are not finite.',
        'Give a network with a Conv, Gemm or MatMul of constant weights.',
      ],
      BAD_INPUT: ['Inputs do not fit the mapping.', 'Whole vectors of as many inputs as the matrix has columns.'],
      BAD_TARGET: ['An aim or a share is out of range.', 'The sentence has what is allowed.'],
      BAD_CERTIFICATE: [
        'A certificate contradicts itself or the network.',
        'Write it again with `grim reram certify`.',
      ],
      BAD_CIRCUIT: ['A circuit cannot be as it is described.', 'The sentence has the range of each value.'],
      BAD_COST: ['A table of costs lacks an entry, or does not fit.', 'The sentence names the table and the entry.'],
      BAD_VECTORS: ['A file of test vectors is damaged, or of another format.', 'See docs/formats.md.'],
      WEIGHT_RANGE: ['A weight is out of the range of its storage.', 'Scale the weights, or use more bits.'],
      TOO_LARGE: ['A matrix or a circuit is larger than is supported.', 'Work on it in parts.'],
      UNSUPPORTED: ['Two options do not go together.', 'The sentence says which to change.'],
      NO_CONVERGENCE: [
        'The solver of wires did not reach its accuracy.',
        'Lower the wire resistance or the size of the array, or raise the number of rounds.',
      ],
    },
  },
  {
    prefix: 'CONFORMANCE',
    title: 'Test data',
    codes: {
      BAD_DATA: [
        'Test data do not fit the model.',
        'Each `input_N.pb` and `output_N.pb` belongs to one input or output.',
      ],
      BAD_LIST: ['The list of expected failures has a wrong line.', 'One `path: reason` per line.'],
      NO_THREADS: ['Threads that were asked for do not start.', 'The sentence has the reason; leave `--threads` out.'],
    },
  },
  {
    prefix: 'DASHBOARD',
    title: 'The dashboard',
    codes: {
      BAD_FILE: ['The file is empty or cannot be read.', 'Drop it again.'],
      BAD_SAMPLE: [
        'Sample inputs do not fit the network.',
        'Open the built-in network, or give values for every input.',
      ],
      DIFFERENT: [
        'Two contenders compute different values: nothing was timed.',
        'Look at the encoding of the weights.',
      ],
      ENGINE: [
        'The worker that computes has stopped; it was started anew.',
        'Do the last step again, with a smaller network if it stops again.',
      ],
      MEMORY: ['The browser has no memory for that.', 'Close other tabs, or use the command line.'],
      NOT_PRUNED: ['Nothing has been pruned yet.', 'Prune first.'],
      NO_CONTENDER: ['Nothing was chosen to measure.', 'Choose one at least.'],
      NO_GPU: ['The browser gives workers no WebGPU.', 'Measure WebAssembly, or use a browser that does.'],
      NO_GRAPH: ['A compiled file has no graph any more.', 'Open the ONNX file it was made from.'],
      NO_LAYER: ['There is no such layer, or none with a constant matrix.', 'Choose another.'],
      NO_MODEL: ['No network is open.', 'Drop a file, or take a built-in one.'],
      NO_ORT: [
        'onnxruntime-web is not beside the page; other origins are not asked.',
        'Put the files of its `dist` folder where the sentence says.',
      ],
      TOO_LARGE: ['The file, or the task, is too large for a page.', 'Use the command line.'],
    },
  },
];

/** Every code, with what is known of it. */
export const ERROR_CODES: ReadonlyMap<string, Explained> = new Map(
  FAMILIES.flatMap(({ prefix, codes }) =>
    Object.entries(codes).map(([name, [cause, remedy]]) => [`GRIM_${prefix}_${name}`, { cause, remedy }] as const),
  ),
);

/** What stands in docs/errors.md: an anchor for each code, as `errors.md#grim_ir_cycle`. */
export function errorPage(): string {
  const sections = FAMILIES.map(({ prefix, title, codes }) => {
    const entries = Object.entries(codes).map(
      ([name, [cause, remedy]]) => `### GRIM_${prefix}_${name}\n\n${cause} ${remedy}\n`,
    );
    return `## ${title}\n\n${entries.join('\n')}`;
  });
  return `# Error codes

An error is a sentence (where, what was found, what was needed, what to do) and a code. Codes stay; sentences may improve: compare the
code. \`grim help CODE\` prints what stands here. The values of a case are in its sentence, and in \`details\` for programs.

${sections.join('\n')}`;
}

/** `grim help CODE`. */
export function explainCode(word: string, io: Pick<Io, 'out' | 'columns'>): void {
  const code = word.toUpperCase();
  const found = ERROR_CODES.get(code);
  if (!found) {
    const near = suggest(code, [...ERROR_CODES.keys()]);
    throw new UsageError(
      `there is no error code ${show(word)}.${near === undefined ? ' See docs/errors.md.' : ` Did you mean ${near}?`}`,
    );
  }
  const paragraphs = [found.cause, found.remedy].flatMap((text) => wrap(`  ${text}`, io.columns, '  '));
  io.out(`${[code, ...paragraphs].join('\n')}\n`);
}
