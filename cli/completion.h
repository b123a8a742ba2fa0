#pragma once

#include <string>
#include <string_view>

#include <levin/cli/command.h>
#include <levin/framework/config/registry.h>

namespace levin {

/// Returns the script that lets a shell complete the commands, options, settings and classes of the
/// program, which `levin completion SHELL` prints. `shell` is "bash", "zsh" or "fish". The script
/// has all names in it, so that the shell needn't start the program.
///
///     source <(levin completion bash)           # in ~/.bashrc
///     source <(levin completion zsh)            # in ~/.zshrc, after compinit
///     levin completion fish | source            # in config.fish
///
/// It completes the program that is called `program`, with the commands of `more`, which it adds.
/// Throws ConfigError for another shell.
std::string completion_script(std::string_view shell, std::string_view program,
                              const Registry& registry, const Commands& more = {});

}  // namespace levin
