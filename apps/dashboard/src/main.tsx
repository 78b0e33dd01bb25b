/** The page. */
import { render } from 'preact';
import { App } from './app.tsx';
import { askServer } from './runs.ts';
import { settings, startSettings } from './settings.ts';
import { openBuiltIn } from './store.ts';
import './styles.css';
import { startTheme } from './theme.ts';

startTheme();
startSettings();
void askServer();
const { model } = settings.peek();
const place = document.getElementById('app');
if (place) render(<App />, place);
// A link that was shared brings its network along, where it is one of ours.
if (model !== '') void openBuiltIn(model, false);
