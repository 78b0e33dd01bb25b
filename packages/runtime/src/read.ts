/** The second entry, `@grim/runtime/artifact`: a whole file taken apart and checked, without running it. */
import type { FileManifest } from '@grim/ir';
import { checkPadding, checkSum, openManifest, pagesOf, parseHeader } from './artifact.ts';
import { corrupt } from './errors.ts';
import { aligned, HEADER_BYTES } from './manifest.ts';
import { checkModule } from './wasm.ts';

/** A file taken apart; sections are views of the bytes. */
export interface Artifact {
  readonly minor: number;
  readonly manifest: FileManifest;
  /** One for each of `manifest.sections`. */
  readonly sections: readonly Uint8Array[];
}

/**
 * Takes a whole file apart and checks all of it; nothing is compiled or run.
 * @throws {RuntimeError} GRIM_RUNTIME_BAD_SOURCE, BAD_VERSION, BAD_ARTIFACT
 */
export function readArtifact(bytes: Uint8Array): Artifact {
  const header = parseHeader(bytes);
  let end = HEADER_BYTES + header.manifestBytes;
  if (bytes.length < end) corrupt(`it is cut short, after ${bytes.length} bytes`);
  const manifest = openManifest(bytes, header, bytes.subarray(HEADER_BYTES, end));
  if (bytes.length !== manifest.totalBytes)
    corrupt(`it has ${bytes.length} bytes, its manifest says ${manifest.totalBytes}`);
  const sections = manifest.sections.map((section) => {
    checkPadding(bytes.subarray(end, aligned(end)));
    end = section.offset + section.bytes;
    const content = bytes.subarray(section.offset, end);
    checkSum(section, content);
    if (section.kind === 'wasm') checkModule(content, manifest, pagesOf(manifest));
    return content;
  });
  return { minor: header.minor, manifest, sections };
}
