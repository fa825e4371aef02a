import type { Command } from "commander";
import { UsageError } from "./errors.ts";

/** Prints the script that teaches `shell` the commands and options of `program`. */
export function completion(shell: string, program: Command): void {
  const script = scripts[shell];
  if (script === undefined) {
    throw new UsageError(`there is no completion for the shell "${shell}"`, {
      remedy: `Name one of: ${Object.keys(scripts).join(", ")}.`,
    });
  }
  process.stdout.write(script(program.commands.map(wordsOf)));
}

interface Words {
  readonly name: string;
  readonly description: string;
  /** Long options, e.g. `--config`. */
  readonly options: readonly string[];
}

function wordsOf(command: Command): Words {
  const options = command.options.flatMap(({ long }) => long ?? []);
  return { name: command.name(), description: command.description(), options: [...options, "--help"] };
}

const scripts: Readonly<Record<string, (commands: readonly Words[]) => string>> = {
  bash: (commands) => `_attache() {
  local word="\${COMP_WORDS[COMP_CWORD]}" words
  case "$COMP_CWORD:\${COMP_WORDS[1]}" in
    1:*) words="${commands.map(({ name }) => name).join(" ")}" ;;
${commands.map(({ name, options }) => `    *:${name}) words="${options.join(" ")}" ;;`).join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  [[ \${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "$word"))
}
complete -o filenames -F _attache attache
`,
  zsh: (commands) => `#compdef attache
_attache() {
  if (( CURRENT == 2 )); then
    local -a commands=(
${commands.map(({ name, description }) => `      ${quote(`${name}:${description}`)}`).join("\n")}
    )
    _describe command commands
    return
  fi
  case "$words[2]" in
${commands.map(({ name, options }) => `    ${name}) compadd -- ${options.join(" ")} ;;`).join("\n")}
  esac
  _files
}
compdef _attache attache
`,
  fish: (commands) =>
    commands
      .flatMap(({ name, description, options }) => [
        `complete -c attache -n __fish_use_subcommand -a ${name} -d ${quote(description)}`,
        ...options.map(
          (option) => `complete -c attache -n "__fish_seen_subcommand_from ${name}" -l ${option.slice(2)}`,
        ),
      ])
      .join("\n")
      .concat("\n"),
};

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
