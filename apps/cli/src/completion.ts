// biome-ignore-all lint/suspicious/noTemplateCurlyInString: shells write variables so.
/**
 * `grim completion <shell>`: a script that completes commands, options and the values that an option chooses from. It is made of the
 * command line itself and needs no program to run while somebody types; files are completed by the shell.
 */
import { Argument, type Command } from 'commander';
import { UsageError } from './errors.ts';

const SHELLS = ['bash', 'zsh', 'fish', 'powershell'] as const;
type Shell = (typeof SHELLS)[number];

/** A command with what may follow it. */
interface Place {
  /** Names from the program down, without it: `reram map`, or nothing. */
  readonly path: string;
  readonly commands: readonly string[];
  readonly options: readonly {
    readonly flag: string;
    readonly description: string;
    readonly choices: readonly string[];
  }[];
}

export function addCompletion(program: Command, print: (text: string) => void): void {
  program
    .command('completion')
    .description('print a script that completes commands and options, for your shell')
    .usage('<shell>')
    .helpOption('-h, --help', 'print this help')
    .addArgument(new Argument('[shell]', 'yours').choices(SHELLS))
    .addHelpText(
      'after',
      [
        '\nExamples:',
        '  grim completion bash > ~/.local/share/bash-completion/completions/grim',
        '  grim completion zsh >> ~/.zshrc',
        '  grim completion fish > ~/.config/fish/completions/grim.fish',
        '  grim completion powershell >> $PROFILE',
      ].join('\n'),
    )
    .action((shell: Shell | undefined) => {
      if (shell === undefined) throw new UsageError(`<shell> is missing: ${SHELLS.join(', ')}.`);
      print(script(shell, placesOf(program)));
    });
}

function placesOf(command: Command, path = ''): readonly Place[] {
  const help = command.createHelp();
  const [commands, options] = [help.visibleCommands(command), help.visibleOptions(command)];
  const own: Place = {
    path,
    commands: commands.map((one) => one.name()),
    options: options.map(({ long, short, description, argChoices }) => ({
      flag: long ?? short ?? '',
      description,
      choices: argChoices ?? [],
    })),
  };
  const inner = commands
    .filter((one) => one.name() !== 'help')
    .flatMap((one) => placesOf(one, `${path} ${one.name()}`.trim()));
  return [own, ...inner];
}

function script(shell: Shell, places: readonly Place[]): string {
  return shell === 'fish' ? fish(places) : shell === 'powershell' ? powershell(places) : bash(places, shell);
}

const wordsOf = ({ commands, options }: Place): string => [...commands, ...options.map(({ flag }) => flag)].join(' ');

/** zsh runs it through its own emulation of bash's completion. */
function bash(places: readonly Place[], shell: 'bash' | 'zsh'): string {
  const values = places.flatMap(({ path, options }) =>
    options
      .filter(({ choices }) => choices.length > 0)
      .map(({ flag, choices }) => `    '${path}|${flag}') words='${choices.join(' ')}' ;;`),
  );
  return `${[
    ...(shell === 'zsh' ? ['autoload -U +X compinit && compinit', 'autoload -U +X bashcompinit && bashcompinit'] : []),
    '_grim() {',
    '  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" at="" word words=""',
    '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
    '    case "$at${at:+ }$word" in',
    `      ${places
      .slice(1)
      .map(({ path }) => `'${path}'`)
      .join('|')}) at="$at\${at:+ }$word" ;;`,
    '    esac',
    '  done',
    '  case "$at|$prev" in',
    ...values,
    '    *) case "$at" in',
    ...places.map((place) => `      '${place.path}') words='${wordsOf(place)}' ;;`),
    '    esac ;;',
    '  esac',
    '  COMPREPLY=($(compgen -W "$words" -- "$cur"))',
    '}',
    'complete -o default -F _grim grim',
  ].join('\n')}\n`;
}

function fish(places: readonly Place[]): string {
  const quoted = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const lines = places.flatMap(({ path, commands, options }) => {
    const names = path.split(' ').filter(Boolean);
    const seen = names.map((name) => `__fish_seen_subcommand_from ${name}`);
    const here = seen.length > 0 ? seen.join('; and ') : '__fish_use_subcommand';
    const inner =
      commands.length > 0 && names.length > 0
        ? `${here}; and not __fish_seen_subcommand_from ${commands.join(' ')}`
        : here;
    return [
      ...(commands.length > 0 ? [`complete -c grim -f -n ${quoted(inner)} -a ${quoted(commands.join(' '))}`] : []),
      ...options.map(({ flag, description, choices }) => {
        const name = flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`;
        const values = choices.length > 0 ? ` -x -a ${quoted(choices.join(' '))}` : '';
        return `complete -c grim -n ${quoted(here)} ${name}${values} -d ${quoted(description)}`;
      }),
    ];
  });
  return `${lines.join('\n')}\n`;
}

function powershell(places: readonly Place[]): string {
  const values = places.flatMap(({ path, options }) =>
    options
      .filter(({ choices }) => choices.length > 0)
      .map(({ flag, choices }) => `    '${path}|${flag}' = '${choices.join(' ')}'`),
  );
  return `${[
    'Register-ArgumentCompleter -Native -CommandName grim -ScriptBlock {',
    '  param($word, $tree, $cursor)',
    '  $words = @{',
    ...places.map((place) => `    '${place.path}' = '${wordsOf(place)}'`),
    '  }',
    '  $values = @{',
    ...values,
    '  }',
    '  $at = ""; $before = ""',
    '  foreach ($element in $tree.CommandElements | Select-Object -Skip 1) {',
    '    $text = $element.ToString()',
    '    if ($element.Extent.EndOffset -ge $cursor -and $word) { break }',
    '    if ($words.ContainsKey("$at $text".Trim())) { $at = "$at $text".Trim() }',
    '    $before = $text',
    '  }',
    '  $offered = $values["$at|$before"]; if (-not $offered) { $offered = $words[$at] }',
    '  $offered -split " " | Where-Object { $_ -like "$word*" } | ForEach-Object { [System.Management.Automation.CompletionResult]::new($_) }',
    '}',
  ].join('\n')}\n`;
}
