import { pictureInput } from '@grim/runtime/picture';
import { type ChangeEvent, StrictMode, useState } from 'react';
import { createRoot } from 'react-dom/client';
import digits from './digits.grim';
import { useModel } from './use-model.ts';

function Classifier() {
  const { model, error, progress } = useModel(digits.load);
  const [scores, setScores] = useState<readonly number[]>([]);
  if (error) return <p role="alert">{error.message}</p>;
  if (!model) return <progress value={progress} />;
  const classify = async ({ target }: ChangeEvent<HTMLInputElement>) => {
    const [file] = target.files ?? [];
    if (!file) return;
    const { probabilities } = await model.run(pictureInput(model, await createImageBitmap(file)));
    setScores([...probabilities]);
  };
  return (
    <>
      <input type="file" accept="image/*" aria-label="A calculator digit" onChange={classify} />
      {scores.length > 0 && <output>{scores.indexOf(Math.max(...scores))}</output>}
      <small>
        {model.simd} SIMD, {model.threads} thread
      </small>
    </>
  );
}

createRoot(document.querySelector('main') as Element).render(
  <StrictMode>
    <Classifier />
  </StrictMode>,
);
