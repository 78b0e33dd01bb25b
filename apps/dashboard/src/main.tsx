/** The page. */
import './trusted-types.ts';
import { render } from 'preact';
import { App } from './app.tsx';
import { askServer } from './runs.ts';
import { settings, startSettings } from './settings.ts';
import { openBuiltIn } from './store.ts';
import './styles.css';
import { startTheme } from './theme.ts';

startTheme();
startSettings();
// A task of its own: reading the program and drawing the page are not one long piece.
setTimeout(() => {
  const place = document.getElementById('app');
  if (place) render(<App />, place);
  void askServer();
  // A link that was shared brings its network along, where it is one of ours.
  const { model } = settings.peek();
  if (model !== '') void openBuiltIn(model, false);
}, 0);
